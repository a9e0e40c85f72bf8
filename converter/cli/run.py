"""`converter run`: a manifest of checkpoints becomes validated artifacts and a report."""

from __future__ import annotations

from pathlib import Path

import click

from converter import report
from converter.backends import BACKENDS
from converter.cli import actions
from converter.cli.batch import jobs_of, manifest_options
from converter.cli.console import console, output_options, push_line
from converter.cli.progress import progress
from converter.executors import local
from converter.publish import batch
from converter.records import Outcome, Pushed
from converter.staging import check_writable


@click.command("run")
@manifest_options
@click.option(
    "--jobs", type=click.IntRange(min=1), default=1, show_default=True, envvar="CONVERTER_JOBS", help="How many to convert at a time."
)
@click.option(
    "--push",
    type=click.Choice(batch.WAYS),
    envvar="CONVERTER_PUSH",
    help="Push what was validated: as a pull request or a commit to the checkpoint's own repository, or to a new one.",
)
@click.option(
    "--push-to",
    metavar="PATTERN",
    default=batch.DEFAULT_NAME,
    show_default=True,
    envvar="CONVERTER_PUSH_TO",
    help="The name of the new repository, with {name} for the model's and {owner} for its owner's.",
)
@click.option("--private", is_flag=True, envvar="CONVERTER_PRIVATE", help="Make the new repository a private one.")
@click.option("--keep-rejected", is_flag=True, help="Keep an artifact that fails its validation, under .rejected beside its place.")
@output_options
def command(manifest: Path, output: Path, jobs: int, push: batch.Way | None, push_to: str, private: bool, keep_rejected: bool) -> int:
    """Convert every checkpoint of a manifest, and write report.json and report.md into the output folder."""
    todo = jobs_of(manifest, output, keep_rejected)
    check_writable(output)
    to_push = batch.plan(todo, push, push_to, private=private) if push else batch.Pushes()
    console.notices(BACKENDS[job.backend] for job in todo)
    outcomes: list[Outcome] = []
    pushes: list[Pushed] = []
    try:
        with progress(todo) as display:
            for outcome in local.run(todo, jobs, display):
                outcomes.append(outcome)
                display.done(outcome)
                for pushed in to_push.after(outcome):
                    pushes.append(pushed)
                    console.say(push_line(pushed))
    finally:  # an interrupted batch has a report of what it did
        result = report.in_order(outcomes, pushes)
        written = report.write(result, output)
    for outcome in result.outcomes:
        if outcome.failure:
            console.failure(outcome.failure, f"{outcome.position}: {outcome.model}: ")
    for pushed in result.pushes:
        if pushed.failure:
            console.failure(pushed.failure, f"{pushed.position}: {pushed.repository}: ")
    actions.tell(result, output)
    console.give(result.model_dump(mode="json"))
    console.say(f"{result.summary}; report: {written}")
    return result.exit_code
