"""`converter plan`: list what `run` would do, with sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from converter.cli import actions
from converter.cli.console import console, output_options, table
from converter.cli.manifest_jobs import jobs_of, manifest_options
from converter.core.records import Outcome
from converter.executors.shards import divide
from converter.pipeline import Plan, plan_job
from converter.report import in_order
from converter.report.figures import bytes_for_people


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
    planned = [plan_job(job) for job in jobs_of(manifest, output, backends)]
    if matrix:
        return _divide(planned, matrix)
    rows = [_row(entry) for entry in planned]
    failed = [outcome for outcome in planned if isinstance(outcome, Outcome) and outcome.failure]
    console.give([*rows])
    console.say(table(list(rows[0]), [[_cell(value) for value in row.values()] for row in rows]))
    for note in dict.fromkeys(note for entry in planned for note in (entry.checkpoint.notes if isinstance(entry, Plan) else entry.notes)):
        console.say_aside(f"note: {note}")
    weights = sum(entry.checkpoint.weight_bytes for entry in planned if isinstance(entry, Plan))
    todo = sum(isinstance(entry, Plan) for entry in planned)
    console.say(f"{todo} to convert with {bytes_for_people(weights)} of weights, {len(planned) - todo - len(failed)} unchanged")
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


def _row(planned: Plan | Outcome) -> dict[str, Any]:
    """The same columns for people and for `--json`."""
    if isinstance(planned, Plan):
        job, checkpoint = planned.job, planned.checkpoint
        return {
            "model": str(job.source),
            "source": checkpoint.identity,
            "backend": job.backend,
            "feature": job.options.feature,
            "weight_bytes": checkpoint.weight_bytes,
            "action": "convert",
            "destination": str(job.destination),
        }
    source = planned.artifact.source if planned.artifact else None
    return {
        "model": planned.model,
        "source": source.identity if source else None,
        "backend": planned.backend,
        "feature": planned.feature,
        "weight_bytes": source.weight_bytes if source else None,
        "action": "cannot" if planned.failure else "nothing: unchanged",
        "destination": planned.destination,
    }


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return bytes_for_people(value)
    return "" if value is None else str(value)[:60]
