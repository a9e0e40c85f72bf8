"""The checks of a model before its conversion."""

from __future__ import annotations

from collections.abc import Mapping

from converter.core.records.base import Record


class Finding(Record):
    """A check of a model before its conversion, at the lengths of the named axes.

    `passed` is None if the check cannot run here.
    """

    axes: Mapping[str, int]
    message: str
    passed: bool | None
