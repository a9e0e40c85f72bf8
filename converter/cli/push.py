"""`converter push`: validated artifacts to the Hub."""

from __future__ import annotations

from pathlib import Path

import click

from converter.cli.artifacts import find_artifacts
from converter.cli.console import console, output_options, push_line
from converter.cli.paths import TextPath
from converter.core.errors import UsageError
from converter.push.permissions import check_account, check_target
from converter.push.push import Target, push


@click.command("push")
@click.argument("artifacts", type=TextPath(exists=True))
@click.option("--to", required=True, metavar="REPO", help="The repository, as org/name; it is made where it is not there.")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead of committing; one of ours that is open is added to.")
@click.option("--branch", metavar="B", default="main", show_default=True, help="The branch to commit to; it is made where it is not there.")
@click.option("--private", is_flag=True, help="Make the repository, where it is made, a private one.")
@output_options
def command(artifacts: Path, to: str, create_pr: bool, branch: str, private: bool) -> int:
    """Push validated ARTIFACTS to the Hub: an artifact's folder or file, or the model's folder that holds several.

    What is there already is not pushed again. The token is that of HF_TOKEN.
    """
    if create_pr and branch != "main":
        raise UsageError("a pull request of the Hub is always to main", "leave out one of --create-pr and --branch")
    folders = [folder for _, folder in find_artifacts(artifacts)]
    target = check_target(Target(repository=to, create_pr=create_pr, branch=branch, private=private), check_account())
    pushed = push(folders, target)
    console.give(pushed.model_dump(mode="json"))
    console.say(push_line(pushed))
    if pushed.failure:
        console.failure(pushed.failure)
        return 1
    return 0
