"""`converter run`: convert a manifest, and write a report."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Literal

import click

from converter import report
from converter.backends import BACKENDS
from converter.cli import actions
from converter.cli.console import console, output_options
from converter.cli.debugging import plain_export_option
from converter.cli.manifest_options import Jobs, Lines, Seconds, manifest_options
from converter.cli.paths import cache_option
from converter.cli.progress import PlainProgress, progress
from converter.core.debugging import Debugging
from converter.core.errors import OutputError
from converter.core.output_errors import check_writable
from converter.core.records import Event, Outcome, Pushed
from converter.executors import ray, ray_connection
from converter.executors.batch import Batch, run_here
from converter.executors.limits import Limits
from converter.manifest.jobs import read_jobs
from converter.publish import batch


@click.command("run")
@manifest_options
@click.option(
    "--jobs",
    type=Jobs(),
    default="auto",
    show_default=True,
    envvar="CONVERTER_JOBS",
    metavar="N|auto",
    help="Conversions at a time; auto follows cores and predicted memory.",
)
@click.option(
    "--executor",
    type=click.Choice(("local", "ray")),
    default="local",
    show_default=True,
    envvar="CONVERTER_EXECUTOR",
    help="Where conversions run: on this machine, or on the nodes of a Ray cluster.",
)
@click.option(
    "--ray-address",
    metavar="HOST:PORT|auto|local",
    default=lambda: os.environ.get("RAY_ADDRESS") or ray_connection.LOCAL,
    show_default="RAY_ADDRESS, or local",
    envvar="CONVERTER_RAY_ADDRESS",
    help="Head of the Ray cluster; auto for the cluster of this machine, local to start one here.",
)
@click.option(
    "--timeout",
    type=Seconds(),
    default="2h",
    show_default=True,
    envvar="CONVERTER_TIMEOUT",
    metavar="TIME",
    help="Limit of one conversion, as 90, 30m or 2h; 0 for none.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0, max=100),
    default=2,
    show_default=True,
    envvar="CONVERTER_RETRIES",
    metavar="N",
    help="Retries after a transient failure (Hub unavailable, out of memory).",
)
@click.option(
    "--fail-fast/--keep-going",
    envvar="CONVERTER_FAIL_FAST",
    help="Start nothing after a failure, or go on (default).",
)
@click.option(
    "--lines",
    type=Lines(),
    envvar="CONVERTER_LINES",
    metavar="N[,N…]",
    help="Convert only these lines of the manifest, as `plan --matrix` prints them.",
)
@click.option(
    "--push",
    type=click.Choice(batch.WAYS),
    envvar="CONVERTER_PUSH",
    help="Push validated artifacts: pr or commit to the checkpoint's repository, repo to a new one.",
)
@click.option(
    "--push-to",
    metavar="PATTERN",
    default=batch.DEFAULT_NAME,
    show_default=True,
    envvar="CONVERTER_PUSH_TO",
    help="Name of the new repository, from the model's {name} and {owner}.",
)
@click.option("--private", is_flag=True, envvar="CONVERTER_PRIVATE", help="Make the new repository private.")
@click.option("--keep-rejected", is_flag=True, help="Keep rejected artifacts under .rejected.")
@cache_option
@plain_export_option
@output_options
def command(
    manifest: Path,
    output: Path,
    backends: tuple[str, ...],
    jobs: int | Literal["auto"],
    executor: Literal["local", "ray"],
    ray_address: str,
    timeout: float | None,
    retries: int,
    fail_fast: bool,
    lines: frozenset[int] | None,
    push: batch.Way | None,
    push_to: str,
    private: bool,
    keep_rejected: bool,
    cache: Path,
    plain_export: bool,
) -> int:
    """Convert every checkpoint of a manifest, and write report.json, report.md and report.html."""
    settings = Debugging(verbose=console.verbose, plain_export=plain_export)
    asked = read_jobs(manifest, output, backends, lines)
    todo = [replace(job, keep_rejected=keep_rejected, cache=cache, log=console.log_format, debugging=settings) for job in asked]
    to_push = batch.plan(todo, push, push_to, private=private) if push else batch.Pushes()
    check_writable(output)
    console.notices(BACKENDS[job.backend] for job in todo)
    outcomes: list[Outcome] = []
    pushes: list[Pushed] = []
    failed = False

    def halted() -> bool:
        return fail_fast and failed

    def begin(display: PlainProgress) -> Generator[Outcome | Pushed]:
        work = Batch(todo, to_push, Limits(timeout=timeout, retries=retries), halted)
        if executor == "ray":
            return ray.run(work, output, display, ray_address)
        return run_here(work, None if jobs == "auto" else jobs, display)

    try:
        with progress(todo) as display, closing(begin(display)) as stream:
            for item in stream:
                if isinstance(item, Pushed):
                    pushes.append(item)
                    display.pushed(item)
                else:
                    outcomes.append(item)
                    display.done(item)
                failed = failed or report.in_order(outcomes[-1:], pushes[-1:]).exit_code != 0
    finally:  # an interrupted batch has a report too
        result = report.in_order(outcomes, pushes)
        try:
            written = report.write(result, output)
        except OutputError:  # nothing else would report it
            console.failures(result)
            console.give(result.model_dump(mode="json"))
            console.say(f"{result.summary}; no complete report")
            raise
    console.failures(result)
    actions.write_results(result, output)
    console.give(result.model_dump(mode="json"))
    console.event(Event(event="batch-ended", message=result.summary))
    console.say(f"{result.summary}; report: {written}")
    return result.exit_code
