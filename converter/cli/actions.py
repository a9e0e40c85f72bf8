"""Output for GitHub Actions: step outputs, the summary, log groups, and an annotation for each failure and warning.

GitHub runs every line that begins with `::`, whoever printed it. So commands are stopped while we run, except when we print one. No
name, message or traceback of a checkpoint can run a command.
"""

from __future__ import annotations

import difflib
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from converter.core.errors import ConverterError, ManifestError, UsageError
from converter.core.output_errors import output_error
from converter.core.records import Failure, Position
from converter.report import JSON_NAME, MARKDOWN_NAME, Report

OUTPUTS = ("report", "artifacts", "converted", "unvalidated", "failed", "skipped", "pushed", "matrix")
SUMMARY_BYTES = 2**20
"""The maximum size of a step summary in bytes, by GitHub's documentation of GITHUB_STEP_SUMMARY; a larger one is refused whole."""

_resume = f"resume-{uuid.uuid4()}"  # a random token, which nobody else knows


def active() -> bool:
    """Whether this process is a step of a workflow."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def begin() -> None:
    """Mask the token, and stop commands of others."""
    if not active():
        return
    if token := os.environ.get("HF_TOKEN", "").strip():
        click.echo(f"::add-mask::{_data(token)}", err=True)
    click.echo(f"::stop-commands::{_resume}", err=True)


def end() -> None:
    """Let GitHub run the commands of later steps again."""
    if active():
        click.echo(f"::{_resume}::", err=True)


def check_inputs(group: click.Group, name: str) -> None:
    """Raise UsageError for an input that the action does not have, that the command `name` does not read, or that leaves the workspace.

    GitHub passes each declared input as INPUT_NAME, with hyphens, and only warns about others. If none of ours is set, we run inside
    another action.
    """
    options = {input_of(parameter): parameter for command in group.commands.values() for parameter in command.params}
    known = {"command", "token", *options} - {""}
    inputs = {variable.removeprefix("INPUT_").lower(): value for variable, value in os.environ.items() if variable.startswith("INPUT_")}
    if not active() or not known <= inputs.keys():
        return
    problems = [_unknown(key, known) for key in sorted(inputs.keys() - known)]
    if name in group.commands:
        read = {"command", "token", *map(input_of, group.commands[name].params)}
        problems += [f"{key} is not an input of the command {name}" for key in sorted(inputs.keys() & known - read) if inputs[key]]
    workspace, output = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve(), inputs["output"] or options["output"].default
    if not (workspace / str(output)).resolve().is_relative_to(workspace):
        problems.append(f"the output {output} is outside the workspace, so no other step can read it")
    if problems:
        raise UsageError("; ".join(problems), f"the inputs are: {', '.join(sorted(known))}")


def _unknown(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"the action has no input {name!r}{f', did you mean {near[0]!r}?' if near else ''}"


def input_of(parameter: click.Parameter) -> str:
    """The action's input behind a parameter, such as push-to for CONVERTER_PUSH_TO; empty if there is none."""
    is_hidden = isinstance(parameter, click.Option) and parameter.hidden
    variable = parameter.envvar if isinstance(parameter.envvar, str) and not is_hidden else ""
    return variable.removeprefix("CONVERTER_").replace("_", "-").lower()


def error(error: ConverterError) -> None:
    """Annotate the error that ended the command: each problem at its line of the manifest, then the message."""
    problems = error.problems if isinstance(error, ManifestError) else ()
    _give(
        [
            *(_annotation("error", position, "manifest", problem) for position, problem in problems),
            _annotation("error", None, "converter", _with_hint(error)),
        ]
    )


def usage_error(error: click.ClickException) -> None:
    """Annotate a wrong command line, with the name of the action's input."""
    parameter = error.param if isinstance(error, click.BadParameter) else None
    name = input_of(parameter) if parameter else ""
    _give(
        [_annotation("error", None, "converter", f"{error.format_message()}{f' It is the input {name!r} of the action.' if name else ''}")]
    )


def group(title: str) -> None:
    """Fold the following log lines under `title`, with the marker that GitHub's runner writes for `::group::`."""
    if active():
        click.echo(f"##[group]{title}", err=True)


def end_group() -> None:
    """End the fold."""
    if active():
        click.echo("##[endgroup]", err=True)


def write_results(report: Report, output: Path) -> None:
    """Write to GitHub's files, and annotate. Does nothing outside a workflow. Raises OutputError."""
    if not active():
        return
    counts = (report.count(status) for status in ("converted", "unvalidated", "failed", "skipped"))
    values = (_in_workspace(output / JSON_NAME), _in_workspace(output), *counts, report.count_pushes("pushed"))
    set_outputs(dict(zip(OUTPUTS, values, strict=False)))
    _append("GITHUB_STEP_SUMMARY", _whole_lines((output / MARKDOWN_NAME).read_text(encoding="utf-8")))
    annotate(report)


def annotate(report: Report) -> None:
    """Annotate each failure and warning at its line of the manifest."""
    _give(_annotations(report))


def _annotations(report: Report) -> Iterator[str]:
    for outcome in report.outcomes:
        title = f"{outcome.model} to {outcome.backend}"
        if outcome.failure:
            yield _annotation("error", outcome.position, title, _with_hint(outcome.failure))
        elif outcome.status == "unvalidated" and outcome.verdict:
            yield _annotation("warning", outcome.position, title, f"not validated: {outcome.verdict.unvalidated}")
    for pushed in report.pushes:
        title = f"push to {pushed.repository}"
        if pushed.failure:
            yield _annotation("error", pushed.position, title, _with_hint(pushed.failure))
        yield from (_annotation("notice", pushed.position, title, note) for note in pushed.notes)


def set_outputs(outputs: Mapping[str, object]) -> None:
    """Set outputs of the step. Raises OutputError."""
    if active():
        end = f"end-{uuid.uuid4()}"  # random, so no value can contain it and add an output
        _append("GITHUB_OUTPUT", "".join(f"{name}<<{end}\n{value}\n{end}\n" for name, value in outputs.items()))


def _with_hint(failure: Failure | ConverterError) -> str:
    return f"{failure.message}{f'. To do: {failure.hint}' if failure.hint else ''}"


def _annotation(level: str, position: Position | None, title: str, message: str) -> str:
    place = f"file={_property(_in_workspace(Path(position.file)))},line={position.line},col={position.column}," if position else ""
    return f"::{level} {place}title={_property(title)}::{_data(message)}"


def _give(commands: Iterable[str]) -> None:
    """Print commands for GitHub in one piece. Does nothing outside a workflow."""
    if active() and (lines := "\n".join(commands)):
        click.echo(f"::{_resume}::\n{lines}\n::stop-commands::{_resume}", err=True)


def _append(variable: str, text: str) -> None:
    if path := os.environ.get(variable):
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise output_error(Path(path), error) from error


def _in_workspace(path: Path) -> str:
    """A path relative to the workspace, which is mounted elsewhere in a container."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    return str(path.relative_to(workspace)) if workspace and path.is_relative_to(workspace) else str(path)


def _whole_lines(text: str) -> str:
    """The beginning of a summary, up to GitHub's limit."""
    if len(text.encode()) <= SUMMARY_BYTES:
        return text
    more = f"\n\nThe report is longer than a summary may be; {MARKDOWN_NAME} has all of it.\n"
    kept = text.encode()[: SUMMARY_BYTES - len(more.encode())].decode(errors="ignore")
    return kept[: kept.rfind("\n")] + more


def _data(text: str) -> str:
    """Escape a message for a workflow command: percent and line ends, as GitHub's toolkit does."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
