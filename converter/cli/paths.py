"""Paths on the command line. They appear in records and on terminals, so a path that is not UTF-8 or that controls a terminal is
refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from converter.core.text import printable

_Command = TypeVar("_Command", bound=Callable[..., Any])


class TextPath(click.Path):
    """A printable path, as a `pathlib.Path`."""

    def __init__(self, **checks: bool) -> None:
        super().__init__(path_type=Path, **checks)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            str(value).encode()
        except UnicodeEncodeError:
            self.fail(f"{str(value)!r} is not UTF-8 text.", param, ctx)
        if printable(str(value)) != str(value):
            self.fail(f"{str(value)!r} has unprintable characters.", param, ctx)
        path = super().convert(value, param, ctx)
        if ctx and not self.file_okay and not self.exists:
            outputs(ctx).append(Path(value))
        return path


def outputs(ctx: click.Context) -> list[Path]:
    """The folders that a command was told to write, by all its parameters so far; more can be added."""
    folders: list[Path] = ctx.meta.setdefault(_OUTPUTS, [])
    return folders


def library_caches() -> list[Path]:
    """The folders of transformers for a checkpoint's own code, of torch for compiled code, and of all for temporary files."""
    return [*map(Path, filter(None, map(os.environ.get, ("HF_MODULES_CACHE", "TORCHINDUCTOR_CACHE_DIR", "TMPDIR"))))]


_OUTPUTS = "converter.outputs"


def cache_option(function: _Command) -> _Command:
    """`--cache`, the folder of captured graphs."""
    return click.option(
        "--cache",
        type=TextPath(file_okay=False),
        default=lambda: Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "/"), ".cache"), "converter"),
        show_default="converter in the user's cache folder",
        envvar="CONVERTER_CACHE",
        help="Folder of captured graphs, which serve every checkpoint of their configuration.",
    )(function)
