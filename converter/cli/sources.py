"""A model on the command line. A path is relative to the working folder."""

from __future__ import annotations

from pathlib import Path

from converter.checkpoints.source import parse_source
from converter.core.errors import UsageError
from converter.core.records import Source


def read_source(text: str) -> Source:
    """The source named by `text`. Raises UsageError."""
    try:
        return parse_source(text, Path.cwd())
    except ValueError as error:
        raise UsageError(str(error), "give a Hub id or a folder") from None
