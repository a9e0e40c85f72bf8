"""A model as it is written on the command line: a path in it is relative to where the command runs."""

from __future__ import annotations

from pathlib import Path

from converter.checkpoints.source import parse_source
from converter.core.errors import UsageError
from converter.core.records import Source


def read_source(text: str) -> Source:
    """The source that `text` names. Raises UsageError."""
    try:
        return parse_source(text, Path.cwd())
    except ValueError as error:
        raise UsageError(str(error), "give a Hub id or a folder") from None
