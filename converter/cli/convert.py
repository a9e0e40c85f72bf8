"""`converter onnx`, `converter torchscript`, …: a command for each backend, that converts one checkpoint.

`converter onnx` is the documented `python -m transformers.onnx` line.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from converter.artifacts.ownership import hand_over
from converter.backends import BACKENDS, Backend
from converter.cli.console import console, output_options
from converter.cli.documented_log import documented_log
from converter.cli.options import backend_options, flag, make_options
from converter.cli.paths import TextPath, cache_option
from converter.cli.progress import progress
from converter.cli.sources import read_source
from converter.core.errors import UsageError
from converter.core.records import ArtifactRecord, Job, Outcome
from converter.pipeline import run_job
from converter.preflight import preflight
from converter.report.markdown import shapes_for_people


def _command_of(backend: Backend) -> click.Command:
    @click.command(
        backend.name,
        help=f"Convert one checkpoint to OUTPUT/{backend.main_file}, {backend.validation_claim}.\n\n"
        f"For example: converter {backend.name} --model=distilbert-base-uncased {_needed(backend)}{backend.name}/",
    )
    @click.option("-m", "--model", required=True, help="A Hub id, with @revision where wanted, or a local folder.")
    @backend_options(backend.options)
    @click.option("--keep-rejected", is_flag=True, help="Keep an artifact that fails its validation, under .rejected beside OUTPUT.")
    @output_options
    @click.argument("output", type=TextPath(file_okay=False), required=not backend.checks)
    def command(model: str, keep_rejected: bool, output: Path | None, check: bool = False, cache: Path | None = None, **flags: Any) -> int:
        options = make_options(backend.options, flags)
        job = Job(
            source=read_source(model),
            backend=backend.name,
            options=options,
            destination=output or Path(),
            keep_rejected=keep_rejected,
            cache=cache,
        )
        if check:
            return _check(backend, job)
        if output is None:
            raise UsageError("there is no OUTPUT", "name the folder that it is written to, or give --check")
        return _convert(backend, job)

    if backend.caches:
        cache_option(command)
    if backend.checks:
        click.option("--check", is_flag=True, help="Convert nothing: tell what can be found out of the model before.")(command)
    return command


def _needed(backend: Backend) -> str:
    """The flags that a command cannot do without, each with an example."""
    needed = {name: field.examples for name, field in backend.options.model_fields.items() if field.is_required()}
    return "".join(f"{flag(name)} {examples[0]} " for name, examples in needed.items() if examples)


def _check(backend: Backend, job: Job) -> int:
    """Tell what is found of the model; what is wrong is a failure."""
    with progress([job]) as display:
        result = preflight(job, partial(display.tell, 0))
    if isinstance(result, Outcome):
        assert result.failure
        console.give(result.model_dump(mode="json"))
        console.failure(result.failure)
        return 1
    passed = all(finding.passed is not False for finding in result)
    console.give({"passed": passed, "findings": [finding.model_dump(mode="json") for finding in result], "note": backend.check_note})
    shapes = [", ".join(f"{axis} {length}" for axis, length in finding.axes.items()) for finding in result]
    for shape in dict.fromkeys(shapes):
        console.say(f"At {shape}:")
        for finding in (finding for finding, at in zip(result, shapes, strict=True) if at == shape):
            console.say(f"\t-[{_SIGNS[finding.passed]}] {finding.message}")
    console.say(f"{'Nothing was found against it' if passed else 'It cannot be converted as it is'}; {backend.check_note}.")
    return 0 if passed else 1


_SIGNS = {True: "✓", False: "x", None: "?"}


def _convert(backend: Backend, job: Job) -> int:
    console.notices([backend])
    with progress([job]) as display:
        outcome = run_job(job, partial(display.tell, 0))
    hand_over(job.destination)
    console.give(outcome.model_dump(mode="json"))
    if job.options.feature is None and outcome.feature:
        console.say_aside(f"feature: {outcome.feature}, by the checkpoint's own files; --feature chooses another")
    for note in outcome.notes:
        console.say_aside(f"note: {note}")
    if outcome.verdict:
        console.say(documented_log(outcome.verdict, backend.title))
    if outcome.failure:
        console.failure(outcome.failure)
        return 1
    assert outcome.artifact
    if "convert" not in {stage.name for stage in outcome.stages}:
        console.say_aside("nothing has changed since it was made: it was taken as it is")
    console.say_aside(_call(outcome.artifact))
    saved = job.destination / (backend.main_file_in(job.destination) or backend.main_file)
    console.say(f"NOT VALIDATED, model saved at: {saved}" if outcome.status == "unvalidated" else f"All good, model saved at: {saved}")
    return 0


def _call(artifact: ArtifactRecord) -> str:
    """How an artifact is called, and at which shapes."""
    signature = artifact.signature
    called = [(part.file, part.inputs, part.outputs) for part in signature.submodels]
    if not called:
        called = [("it", tuple(spec.name for spec in signature.inputs), tuple(spec.name for spec in signature.outputs))]
    clause = ", then ".join(f"{what} with ({', '.join(inputs)}), it gives ({', '.join(outputs)})" for what, inputs, outputs in called)
    return f"call {clause}; {shapes_for_people(artifact)}"


commands = [_command_of(backend) for backend in BACKENDS.values()]
