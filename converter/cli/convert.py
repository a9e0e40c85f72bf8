"""`converter onnx`, `converter torchscript`, …: a command for each backend, that converts one checkpoint.

`converter onnx` is the documented `python -m transformers.onnx` line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from converter.backends import BACKENDS, Backend
from converter.cli.console import console, output_options
from converter.cli.documented_log import documented_log
from converter.cli.options import backend_options, make_options
from converter.cli.paths import TextPath
from converter.cli.progress import progress
from converter.cli.sources import read_source
from converter.pipeline import run_job
from converter.records import ArtifactRecord, Job
from converter.report.markdown import shapes_for_people


def _command_of(backend: Backend) -> click.Command:
    @click.command(
        backend.name,
        help=f"Convert one checkpoint to OUTPUT/{backend.main_file}, validated.\n\n"
        f"For example: converter {backend.name} --model=distilbert-base-uncased {backend.name}/",
    )
    @click.option("-m", "--model", required=True, help="A Hub id, with @revision where wanted, or a local folder.")
    @backend_options(backend.options)
    @click.option("--keep-rejected", is_flag=True, help="Keep an artifact that fails its validation, under .rejected beside OUTPUT.")
    @output_options
    @click.argument("output", type=TextPath(file_okay=False))
    def command(model: str, keep_rejected: bool, output: Path, **flags: Any) -> int:
        return _convert(backend, model, keep_rejected, output, flags)

    return command


def _convert(backend: Backend, model: str, keep_rejected: bool, output: Path, flags: dict[str, Any]) -> int:
    options = make_options(backend.options, flags)
    job = Job(source=read_source(model), backend=backend.name, options=options, destination=output, keep_rejected=keep_rejected)
    console.notices([backend])
    with progress([job]) as display:
        outcome = run_job(job, lambda stage: display.stage(0, stage))
    console.give(outcome.model_dump(mode="json"))
    if options.feature is None and outcome.feature:
        console.say_aside(f"feature: {outcome.feature}, by the checkpoint's config.json; --feature chooses another")
    if outcome.verdict:
        console.say(documented_log(outcome.verdict, backend.title))
    if outcome.failure:
        console.failure(outcome.failure)
        return 1
    assert outcome.artifact
    if outcome.status == "skipped":
        console.say_aside("nothing has changed since it was made: it was taken as it is")
    console.say_aside(_call(outcome.artifact))
    console.say(f"All good, model saved at: {output / backend.main_file}")
    return 0


def _call(artifact: ArtifactRecord) -> str:
    """How an artifact is called, and at which shapes."""
    signature = artifact.signature
    inputs, outputs = (", ".join(spec.name for spec in specs) for specs in (signature.inputs, signature.outputs))
    return f"call it with ({inputs}), it gives ({outputs}); {shapes_for_people(artifact)}"


commands = [_command_of(backend) for backend in BACKENDS.values()]
