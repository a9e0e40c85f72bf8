"""`converter onnx`: the documented `python -m transformers.onnx` line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from converter.backends import BACKENDS
from converter.cli.console import console, output_options
from converter.cli.documented_log import documented_log
from converter.cli.options import backend_options, make_options
from converter.cli.paths import TextPath
from converter.cli.progress import progress
from converter.cli.sources import read_source
from converter.pipeline import run_job
from converter.records import Job

_BACKEND = BACKENDS["onnx"]


@click.command("onnx")
@click.option("-m", "--model", required=True, help="A Hub id, with @revision where wanted, or a local folder.")
@backend_options(_BACKEND.options)
@click.option("--keep-rejected", is_flag=True, help="Keep an artifact that fails its validation, under .rejected beside OUTPUT.")
@output_options
@click.argument("output", type=TextPath(file_okay=False))
def command(model: str, keep_rejected: bool, output: Path, **flags: Any) -> int:
    """Convert one checkpoint to OUTPUT/model.onnx, validated.

    For example: converter onnx --model=distilbert-base-uncased onnx/
    """
    options = make_options(_BACKEND.options, flags)
    job = Job(source=read_source(model), backend=_BACKEND.name, options=options, destination=output, keep_rejected=keep_rejected)
    with progress([job]) as display:
        outcome = run_job(job, lambda stage: display.stage(0, stage))
    console.give(outcome.model_dump(mode="json"))
    if options.feature is None and outcome.feature:
        console.say_aside(f"feature: {outcome.feature}, by the checkpoint's config.json; --feature chooses another")
    if outcome.verdict:
        console.say(documented_log(outcome.verdict))
    if outcome.failure:
        console.failure(outcome.failure)
        return 1
    if outcome.status == "skipped":
        console.say_aside("nothing has changed since it was made: it was taken as it is")
    console.say(f"All good, model saved at: {output / _BACKEND.main_file}")
    return 0
