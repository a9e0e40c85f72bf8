"""Paths on the command line. They go into records and to terminals, so a path that is not UTF-8, or that a terminal would obey, is refused
at the door."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from converter.core.text import printable

_Command = TypeVar("_Command", bound=Callable[..., Any])


class TextPath(click.Path):
    """A path that can be written down, as a `pathlib.Path`."""

    def __init__(self, **checks: bool) -> None:
        super().__init__(path_type=Path, **checks)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            str(value).encode()
        except UnicodeEncodeError:
            self.fail(f"{str(value)!r} is not UTF-8 text.", param, ctx)
        if printable(str(value)) != str(value):
            self.fail(f"{str(value)!r} has characters that no terminal can show.", param, ctx)
        return super().convert(value, param, ctx)


def cache_option(function: _Command) -> _Command:
    """`--cache`, where captured graphs are kept for later conversions."""
    return click.option(
        "--cache",
        type=TextPath(file_okay=False),
        default=lambda: Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "/"), ".cache"), "converter"),
        show_default="converter in the user's cache folder",
        envvar="CONVERTER_CACHE",
        help="The folder that captured graphs are kept in, so that another checkpoint of the same configuration costs no capture.",
    )(function)
