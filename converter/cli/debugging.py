"""Options for debugging an export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from converter.cli.paths import TextPath

_Command = TypeVar("_Command", bound=Callable[..., Any])


def intermediates_option(function: _Command) -> _Command:
    """`--keep-intermediate`, the folder for the steps of an export."""
    return click.option(
        "--keep-intermediate",
        "intermediates",
        type=TextPath(file_okay=False),
        metavar="DIR",
        help="Write the exported program, and the graph before and after each pass, to DIR.",
    )(function)


def plain_export_option(function: _Command) -> _Command:
    """CONVERTER_PLAIN_EXPORT=1, which switches off the patches of torch's exporter."""
    return click.option(
        "--plain-export",
        is_flag=True,
        hidden=True,
        envvar="CONVERTER_PLAIN_EXPORT",
        help="Export without the converter's patches of torch's exporter.",
    )(function)
