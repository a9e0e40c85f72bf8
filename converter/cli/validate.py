"""`converter validate`: validate artifacts again, later or on another machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from converter.artifacts.finding import find_artifacts
from converter.backends import BACKENDS, Backend
from converter.backends.option_values import check_options
from converter.checkpoints.source import read_source
from converter.cli.console import console, output_options
from converter.cli.documented_log import documented_log
from converter.cli.options import SPELT, backend_options
from converter.cli.paths import TextPath
from converter.core.errors import ConverterError, ValidationError
from converter.core.records import AccuracyRequirement, Options, Source
from converter.revalidation import revalidate


def _accuracy_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add a flag for each field of `AccuracyRequirement`, as the first backend with variants describes it."""
    for name in reversed([field.name for field in fields(AccuracyRequirement)]):
        options = next((backend.options for backend in BACKENDS.values() if name in backend.options.model_fields), None)
        if options:
            function = backend_options(options, (name,))(function)
    return function


@click.command("validate")
@click.argument("artifacts", type=TextPath(exists=True))
@click.option("--reference", required=True, help="Checkpoint: Hub id, with @revision if needed, or local folder.")
@backend_options(Options)
@_accuracy_options
@output_options
def command(artifacts: Path, reference: str, **flags: Any) -> int:
    """Validate ARTIFACTS against their checkpoint: an artifact's folder or file, or a model's folder.

    Options default to the artifact's record.
    """
    source = read_source(reference)
    asked = {name: value for name, value in flags.items() if value is not None}
    places = find_artifacts(artifacts)
    for backend, _ in places:
        check_options(backend.options, _known(backend, asked), **SPELT)
    console.notices(backend for backend, _ in places)
    rows = [_measure(backend, folder, source, asked) for backend, folder in places]
    console.give(rows)
    return 0 if all(row["passed"] for row in rows) else 1


def _known(backend: Backend, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a backend; the tier and texts only for backends with variants."""
    return {name: value for name, value in asked.items() if name in backend.options.model_fields}


def _measure(backend: Backend, folder: Path, source: Source, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Validate one artifact and print the result; a failure does not stop the others."""
    path = folder / backend.files.shown_in(folder)
    console.say_aside(f"{path} against {source}")
    try:
        options, verdict = revalidate(backend, folder, source, _known(backend, asked))
    except ConverterError as error:
        console.error(error)
        return {"artifact": str(path), "passed": False, "error": error.message, "verdict": None}
    console.say(documented_log(verdict, backend.title))
    if verdict.passed:
        console.say(f"All good: {path} matches the checkpoint for {options.feature}")
    else:
        console.error(ValidationError(f"{path} does not match {source}: {verdict.first_problem}", "", verdict))
    return {"artifact": str(path), "passed": verdict.passed, "error": verdict.first_problem or None, "verdict": verdict}
