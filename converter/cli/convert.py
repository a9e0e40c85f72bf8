"""`converter onnx`, `converter torchscript`, …: one command per backend, to convert one checkpoint.

`converter onnx` is the documented `python -m transformers.onnx`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from converter.artifacts.rejection import REJECTED
from converter.backends import BACKENDS, Backend
from converter.backends.option_values import make_options
from converter.backends.preflight import Preflight
from converter.checkpoints.source import read_source
from converter.cli.console import console, output_options
from converter.cli.debugging import intermediates_option, plain_export_option
from converter.cli.documented_log import documented_log
from converter.cli.options import SPELT, backend_options, flag
from converter.cli.paths import TextPath, cache_option, outputs
from converter.cli.progress import progress
from converter.core.debugging import Debugging
from converter.core.errors import UsageError
from converter.core.records import ArtifactSummary, Job, Outcome
from converter.pipeline import run_job
from converter.preflight import preflight
from converter.report.markdown import shapes_for_people


def _command_of(backend: Backend) -> click.Command:
    @click.command(
        backend.name,
        help=f"Convert one checkpoint to OUTPUT/{backend.files.main}, {backend.claim}.\n\n"
        f"For example: converter {backend.name} --model=distilbert-base-uncased {_needed(backend)}{backend.name}/",
    )
    @click.option("-m", "--model", required=True, help="Hub id, with @revision if needed, or local folder.")
    @backend_options(backend.options)
    @click.option("--keep-rejected", is_flag=True, help="Keep a rejected artifact under .rejected beside OUTPUT.")
    @output_options
    @click.argument("output", type=TextPath(file_okay=False), required=backend.preflight is None)
    def command(
        model: str,
        keep_rejected: bool,
        output: Path | None,
        check: bool = False,
        cache: Path | None = None,
        plain_export: bool = False,
        intermediates: Path | None = None,
        **flags: Any,
    ) -> int:
        options = make_options(backend.options, flags, **SPELT)
        job = Job(
            source=read_source(model),
            backend=backend.name,
            options=options,
            destination=output or Path(),
            keep_rejected=keep_rejected,
            cache=cache,
            debugging=Debugging(verbose=console.verbose, plain_export=plain_export, intermediates=intermediates),
        )
        if check and backend.preflight:
            return _check(backend.preflight, job)
        if output is None:
            raise UsageError("OUTPUT is missing", "name a folder for it, or pass --check")
        outputs(click.get_current_context()).append(output.parent / REJECTED)
        return _convert(backend, job)

    if backend.caches:
        cache_option(command)
    if backend.patches_exporter:
        intermediates_option(plain_export_option(command))
    if backend.preflight:
        click.option("--check", is_flag=True, help="Check the model without converting it.")(command)
    return command


def _needed(backend: Backend) -> str:
    """The required options of a command, each with an example."""
    needed = {name: field.examples for name, field in backend.options.model_fields.items() if field.is_required()}
    return "".join(f"{flag(name)} {examples[0]} " for name, examples in needed.items() if examples)


def _check(check: Preflight, job: Job) -> int:
    """Print the findings on a model; a problem is a failure."""
    with progress([job]) as display:
        result = preflight(job, partial(display.observe, 0))
    if isinstance(result, Outcome):
        assert result.failure
        console.give(result.model_dump(mode="json"))
        console.failure(result.failure)
        return 1
    passed = all(finding.passed is not False for finding in result)
    console.give({"passed": passed, "findings": [finding.model_dump(mode="json") for finding in result], "note": check.note})
    shapes = [", ".join(f"{axis} {length}" for axis, length in finding.axes.items()) for finding in result]
    for shape in dict.fromkeys(shapes):
        console.say(f"At {shape}:")
        for finding in (finding for finding, at in zip(result, shapes, strict=True) if at == shape):
            console.say(f"\t-[{_SIGNS[finding.passed]}] {finding.message}")
    console.say(f"{'No problem found' if passed else 'It cannot be converted'}; {check.note}.")
    return 0 if passed else 1


_SIGNS = {True: "✓", False: "x", None: "?"}


def _convert(backend: Backend, job: Job) -> int:
    console.notices([backend])
    with progress([job]) as display:
        outcome = run_job(job, partial(display.observe, 0))
    console.give(outcome.model_dump(mode="json"))
    if job.options.feature is None and outcome.feature:
        console.say_aside(f"feature: {outcome.feature}, from the checkpoint's own files; --feature chooses another")
    for note in outcome.notes:
        console.say_aside(f"note: {note}")
    if outcome.verdict:
        console.say(documented_log(outcome.verdict, backend.title))
    if outcome.failure:
        console.failure(outcome.failure)
        return 1
    assert outcome.artifact
    if "convert" not in {stage.name for stage in outcome.stages}:
        console.say_aside("unchanged since the last conversion: nothing to do")
    console.say_aside(_call(outcome.artifact))
    saved = job.destination / backend.files.shown_in(job.destination)
    console.say(f"NOT VALIDATED, model saved at: {saved}" if outcome.status == "unvalidated" else f"All good, model saved at: {saved}")
    return 0


def _call(artifact: ArtifactSummary) -> str:
    """The call of an artifact and its shapes."""
    signature = artifact.signature
    called = [(part.file, part.inputs, part.outputs) for part in signature.submodels]
    if not called:
        called = [("it", tuple(spec.name for spec in signature.inputs), tuple(spec.name for spec in signature.outputs))]
    clause = ", then ".join(f"{what} with ({', '.join(inputs)}), it gives ({', '.join(outputs)})" for what, inputs, outputs in called)
    return f"call {clause}; {shapes_for_people(artifact)}"


commands = [_command_of(backend) for backend in BACKENDS.values()]
