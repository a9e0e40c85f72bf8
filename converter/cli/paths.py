"""Paths on the command line. They go into records, which are UTF-8, so a path that is not is refused at the door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class TextPath(click.Path):
    """A path that can be written down, as a `pathlib.Path`."""

    def __init__(self, **checks: bool) -> None:
        super().__init__(path_type=Path, **checks)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            str(value).encode()
        except UnicodeEncodeError:
            self.fail(f"{str(value)!r} is not UTF-8 text.", param, ctx)
        return super().convert(value, param, ctx)
