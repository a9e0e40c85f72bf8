"""`converter report`: the reports of a batch that was divided over machines, as one."""

from __future__ import annotations

from pathlib import Path

import click

from converter import report
from converter.artifacts.ownership import hand_over
from converter.cli import actions
from converter.cli.batch import jobs_of, manifest_options
from converter.cli.console import console, outcome_line, output_options, push_line
from converter.cli.paths import TextPath
from converter.core.output_errors import check_writable
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
    help="A shard's report.json, or a folder with such at any depth; may be given several times.",
)
@output_options
def command(manifest: Path, output: Path, backends: tuple[str, ...], shards: tuple[Path, ...]) -> int:
    """Join the reports of the shards that `plan --matrix` divided a manifest into, in the output folder.

    What the manifest asks for and no shard tells of is a failure. The exit code is that of the whole batch.
    """
    result = merge(shards, jobs_of(manifest, output, backends), output / report.JSON_NAME)
    check_writable(output)
    written = report.write(result, output)
    hand_over(output)
    for outcome in result.outcomes:
        console.say(outcome_line(outcome))
    for pushed in result.pushes:
        console.say(push_line(pushed))
    console.failures(result)
    actions.tell(result, output)
    console.give(result.model_dump(mode="json"))
    console.say(f"{result.summary}; report: {written}")
    return result.exit_code
