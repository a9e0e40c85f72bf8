"""What `run` and `plan` share: the manifest's flags, and the jobs that a manifest asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from converter.cli.paths import TextPath
from converter.manifest import read_manifest
from converter.records import Job

_Command = TypeVar("_Command", bound=Callable[..., Any])


def manifest_options(function: _Command) -> _Command:
    """`--manifest` and `--output`."""
    function = click.option(
        "--output",
        type=TextPath(file_okay=False),
        default=Path("out"),
        show_default=True,
        envvar="CONVERTER_OUTPUT",
        help="The folder that artifacts and reports go to.",
    )(function)
    return click.option(
        "--manifest",
        type=TextPath(),
        required=True,
        envvar="CONVERTER_MANIFEST",
        help="models.txt, or models.yaml: the checkpoints to convert.",
    )(function)


def jobs_of(manifest: Path, output: Path, keep_rejected: bool = False) -> list[Job]:
    """A job for each entry and backend, in the manifest's order. Raises ManifestError."""
    return [
        Job(
            source=entry.source,
            backend=backend,
            options=options,
            destination=output / entry.output / backend,
            model_folder=output / entry.output,
            position=entry.position,
            keep_rejected=keep_rejected,
        )
        for entry in read_manifest(manifest)
        for backend, options in entry.backends.items()
    ]
