"""Options of `run`, `plan` and `report`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from converter.backends import BACKENDS, unknown_backend
from converter.cli.paths import TextPath
from converter.manifest import DEFAULT_BACKENDS


class Backends(click.ParamType[tuple[str, ...]]):
    """Names of backends, such as `onnx,torchscript`."""

    name = "backends"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name.strip() for name in value.split(",")))
        if unknown := [name for name in names if name not in BACKENDS]:
            self.fail(f"{unknown_backend(unknown[0])}.", param, ctx)
        return names


class Jobs(click.ParamType[int | Literal["auto"]]):
    """A number of jobs, or `auto`."""

    name = "jobs"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Literal["auto"]:
        if value == "auto":
            return "auto"
        try:
            return click.IntRange(min=1).convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(f"{error.message.rstrip('.')}, or auto.", param, ctx)


class Seconds(click.ParamType[float | None]):
    """A duration such as `90`, `30m` or `2h`, in seconds; None for 0, no limit."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smh]?)", value, re.ASCII)
        if not match:
            self.fail(f"{value!r} is not a duration; write seconds as 90, minutes as 30m, hours as 2h, or 0 for no limit.", param, ctx)
        return float(match[1]) * _UNITS[match[2]] or None


_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_DIGITS = 18  # of a line number; Python refuses to parse thousands of digits


class Lines(click.ParamType[frozenset[int]]):
    """Line numbers, such as `3,7`."""

    name = "lines"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[int]:
        words = [word.strip() for word in value.split(",")]
        if not all(word.isascii() and word.isdigit() and len(word) <= _DIGITS for word in words):
            self.fail(f"{value!r} is not of the form 3,7.", param, ctx)
        return frozenset(map(int, words))


_Command = TypeVar("_Command", bound=Callable[..., Any])


def manifest_options(function: _Command) -> _Command:
    """The options `--manifest`, `--backends` and `--output`."""
    function = click.option(
        "--backends",
        type=Backends(),
        default=",".join(DEFAULT_BACKENDS),
        show_default=True,
        envvar="CONVERTER_BACKENDS",
        metavar="NAME[,NAME…]",
        help="Formats of entries without to=.",
    )(function)
    function = click.option(
        "--output",
        type=TextPath(file_okay=False),
        default=Path("out"),
        show_default=True,
        envvar="CONVERTER_OUTPUT",
        help="Folder for artifacts and reports.",
    )(function)
    return click.option(
        "--manifest",
        type=TextPath(),
        required=True,
        envvar="CONVERTER_MANIFEST",
        help="The manifest: models.txt or models.yaml.",
    )(function)
