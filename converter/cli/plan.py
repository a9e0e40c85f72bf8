"""`converter plan`: list what `run` would do, with sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from converter.cli import actions
from converter.cli.console import console, output_options, table
from converter.cli.manifest_options import manifest_options
from converter.core.records import Outcome
from converter.executors.shards import divide
from converter.manifest.jobs import read_jobs
from converter.pipeline import Plan, plan_job
from converter.planning import describe
from converter.report import in_order
from converter.report.figures import bytes_for_people

_COLUMNS = ("model", "source", "backend", "feature", "weight_bytes", "action", "destination")


@click.command("plan")
@manifest_options
@click.option(
    "--matrix",
    type=click.IntRange(1, 256),
    envvar="CONVERTER_MATRIX",
    help="Print a matrix for GitHub Actions with at most this many shards of similar cost.",
)
@output_options
def command(manifest: Path, output: Path, backends: tuple[str, ...], matrix: int | None) -> int:
    """List the jobs of a manifest, with sizes. Converts and downloads nothing."""
    entries = [plan_job(job) for job in read_jobs(manifest, output, backends)]
    if matrix:
        return _divide(entries, matrix)
    planned = [describe(entry) for entry in entries]
    failed = [entry for entry in entries if isinstance(entry, Outcome) and entry.failure]
    console.give([job.model_dump(mode="json") for job in planned])
    console.say(table(_COLUMNS, [[_cell(getattr(job, column)) for column in _COLUMNS] for job in planned]))
    for note in dict.fromkeys(note for job in planned for note in job.notes):
        console.say_aside(f"note: {note}")
    todo = [job for job in planned if job.action == "convert"]
    weights = sum(job.weight_bytes or 0 for job in todo)
    unchanged = len(planned) - len(todo) - len(failed)
    console.say(f"{len(todo)} to convert with {bytes_for_people(weights)} of weights, {unchanged} unchanged")
    for outcome in failed:
        assert outcome.failure
        console.failure(outcome.failure, f"{outcome.position}: {outcome.model}: ")
    actions.annotate(in_order(failed))
    return 1 if failed else 0


def _divide(planned: list[Plan | Outcome], shards: int) -> int:
    """Print a note on a line that cannot be planned; its shard reports the failure."""
    for entry in planned:
        if isinstance(entry, Outcome) and entry.failure:
            console.say_aside(f"note: {entry.position}: {entry.model} will fail: {entry.failure.message}")
    include = [
        {"shard": shard.number, "lines": ",".join(map(str, shard.lines)), "seconds": round(shard.seconds)}
        for shard in divide(planned, shards)
    ]
    matrix = json.dumps({"include": include}, separators=(",", ":"))  # on one line, for GITHUB_OUTPUT and a shell's variable
    click.echo(matrix)
    actions.set_outputs({"matrix": matrix})
    return 0


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return bytes_for_people(value)
    return "" if value is None else str(value)[:60]
