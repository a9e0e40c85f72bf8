"""`converter push`: validated artifacts to the Hub."""

from __future__ import annotations

from pathlib import Path

import click

from converter.artifacts.finding import find_artifacts
from converter.cli.console import console, output_options, push_line
from converter.cli.paths import TextPath
from converter.core.errors import UsageError
from converter.publish.permissions import check_account, check_target
from converter.publish.push import Target, push


@click.command("push")
@click.argument("artifacts", type=TextPath(exists=True))
@click.option("--to", required=True, metavar="REPO", help="Repository, as org/name; created if missing.")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead of committing, or add to our open one.")
@click.option("--branch", metavar="B", default="main", show_default=True, help="Branch to commit to; created if missing.")
@click.option("--private", is_flag=True, help="Make a new repository private.")
@output_options
def command(artifacts: Path, to: str, create_pr: bool, branch: str, private: bool) -> int:
    """Push validated ARTIFACTS to the Hub: an artifact's folder or file, or a model's folder.

    Pushes only what is new. The token comes from HF_TOKEN or `hf auth login`.
    """
    if create_pr and branch != "main":
        raise UsageError("pass either --create-pr or --branch", "pull requests on the Hub go to main")
    folders = [folder for _, folder in find_artifacts(artifacts)]
    target = check_target(Target(repository=to, create_pr=create_pr, branch=branch, private=private), check_account())
    pushed = push(folders, target)
    console.give(pushed.model_dump(mode="json"))
    console.say(push_line(pushed))
    if pushed.failure:
        console.failure(pushed.failure)
        return 1
    return 0
