"""`converter report`: join the reports of shards."""

from __future__ import annotations

from pathlib import Path

import click

from converter import report
from converter.cli import actions
from converter.cli.console import console, outcome_line, output_options, push_line
from converter.cli.manifest_options import manifest_options
from converter.cli.paths import TextPath
from converter.core.output_errors import check_writable
from converter.manifest.jobs import read_jobs
from converter.report.merge import merge


@click.command("report")
@manifest_options
@click.option(
    "--merge",
    "shards",
    type=TextPath(exists=True),
    required=True,
    multiple=True,
    envvar="CONVERTER_MERGE",
    help="A shard's report.json, or a folder that contains some; can be repeated.",
)
@output_options
def command(manifest: Path, output: Path, backends: tuple[str, ...], shards: tuple[Path, ...]) -> int:
    """Join the reports of the shards of `plan --matrix`, in the output folder.

    A line of the manifest without a report is a failure. The exit code covers the whole batch.
    """
    result = merge(shards, read_jobs(manifest, output, backends), output / report.JSON_NAME)
    check_writable(output)
    written = report.write(result, output)
    for outcome in result.outcomes:
        console.say(outcome_line(outcome))
    for pushed in result.pushes:
        console.say(push_line(pushed))
    console.failures(result)
    actions.write_results(result, output)
    console.give(result.model_dump(mode="json"))
    console.say(f"{result.summary}; report: {written}")
    return result.exit_code
