"""`converter run`: a manifest of checkpoints becomes validated artifacts and a report."""

from __future__ import annotations

from pathlib import Path

import click

from converter import report
from converter.backends import BACKENDS
from converter.cli import actions
from converter.cli.batch import jobs_of, manifest_options
from converter.cli.console import console, output_options
from converter.cli.progress import progress
from converter.executors import local
from converter.records import Outcome
from converter.staging import check_writable


@click.command("run")
@manifest_options
@click.option(
    "--jobs", type=click.IntRange(min=1), default=1, show_default=True, envvar="CONVERTER_JOBS", help="How many to convert at a time."
)
@click.option("--keep-rejected", is_flag=True, help="Keep an artifact that fails its validation, under .rejected beside its place.")
@output_options
def command(manifest: Path, output: Path, jobs: int, keep_rejected: bool) -> int:
    """Convert every checkpoint of a manifest, and write report.json and report.md into the output folder."""
    todo = jobs_of(manifest, output, keep_rejected)
    check_writable(output)
    console.notices(BACKENDS[job.backend] for job in todo)
    outcomes: list[Outcome] = []
    try:
        with progress(todo) as display:
            for outcome in local.run(todo, jobs, display):
                outcomes.append(outcome)
                display.done(outcome)
    finally:  # an interrupted batch has a report of what it did
        result = report.in_order(outcomes)
        written = report.write(result, output)
    for outcome in result.outcomes:
        if outcome.failure:
            console.failure(outcome.failure, f"{outcome.position}: {outcome.model}: ")
    actions.tell(result, output)
    console.give(result.model_dump(mode="json"))
    console.say(f"{result.summary}; report: {written}")
    return result.exit_code
