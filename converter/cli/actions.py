"""What GitHub Actions is told: outputs, the step summary, groups of the log, and an annotation for each failure and doubt.

Every line that begins with `::` is a command to GitHub, whoever printed it. So commands are stopped for as long as we run, but for
the moment in which ours are given: no name, message or traceback of a checkpoint can give one.
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
"""How large a step's summary may be, by GitHub's documentation of GITHUB_STEP_SUMMARY; a larger one is refused whole."""

_resume = f"resume-{uuid.uuid4()}"  # what nobody else can know


def active() -> bool:
    """Whether this is a step of a workflow."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def begin() -> None:
    """Mask the token, and stop commands that are not ours."""
    if not active():
        return
    if token := os.environ.get("HF_TOKEN", "").strip():
        click.echo(f"::add-mask::{_data(token)}", err=True)
    click.echo(f"::stop-commands::{_resume}", err=True)


def end() -> None:
    """Let the commands of what comes after us be heard again."""
    if active():
        click.echo(f"::{_resume}::", err=True)


def check_inputs(group: click.Group, name: str) -> None:
    """Raise UsageError for an input that the action has not, that the command `name` does not read, or that leads out of the workspace.

    GitHub hands over each input that action.yml declares as INPUT_NAME, hyphens kept, and with a mere warning those that it does not.
    Where ours are not among them it is another action that we run in, whose inputs are its own.
    """
    options = {input_of(parameter): parameter for command in group.commands.values() for parameter in command.params}
    known = {"command", "token", *options} - {""}
    inputs = {variable.removeprefix("INPUT_").lower(): value for variable, value in os.environ.items() if variable.startswith("INPUT_")}
    if not active() or not known <= inputs.keys():
        return
    problems = [_unknown(key, known) for key in sorted(inputs.keys() - known)]
    if name in group.commands:
        read = {"command", "token", *map(input_of, group.commands[name].params)}
        problems += [f"{key} is no input of the command {name}" for key in sorted(inputs.keys() & known - read) if inputs[key]]
    workspace, output = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve(), inputs["output"] or options["output"].default
    if not (workspace / str(output)).resolve().is_relative_to(workspace):
        problems.append(f"the output {output} lies outside of the workspace, where no other step would find it")
    if problems:
        raise UsageError("; ".join(problems), f"the inputs are: {', '.join(sorted(known))}")


def _unknown(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"the action has no input {name!r}{f', did you mean {near[0]!r}?' if near else ''}"


def input_of(parameter: click.Parameter) -> str:
    """The action's input that a parameter of a command is given by: CONVERTER_PUSH_TO is push-to. Empty where there is none."""
    variable = parameter.envvar if isinstance(parameter.envvar, str) else ""
    return variable.removeprefix("CONVERTER_").replace("_", "-").lower()


def error(error: ConverterError) -> None:
    """Annotate what ended the command: each problem at its line of the manifest, then the sentence."""
    problems = error.problems if isinstance(error, ManifestError) else ()
    _give(
        [
            *(_annotation("error", position, "manifest", problem) for position, problem in problems),
            _annotation("error", None, "converter", _told(error)),
        ]
    )


def usage_error(error: click.ClickException) -> None:
    """Annotate what is wrong with the command line, by the name of the input that it came from."""
    parameter = error.param if isinstance(error, click.BadParameter) else None
    name = input_of(parameter) if parameter else ""
    _give(
        [_annotation("error", None, "converter", f"{error.format_message()}{f' It is the input {name!r} of the action.' if name else ''}")]
    )


def group(title: str) -> None:
    """Fold the lines from here on, in the log, under `title`, by what GitHub's runner itself writes into it for `::group::`."""
    if active():
        click.echo(f"##[group]{title}", err=True)


def end_group() -> None:
    """Fold no more lines."""
    if active():
        click.echo("##[endgroup]", err=True)


def tell(report: Report, output: Path) -> None:
    """Write to the files that GitHub names, and annotate; does nothing elsewhere. Raises OutputError."""
    if not active():
        return
    counts = (report.count(status) for status in ("converted", "unvalidated", "failed", "skipped"))
    values = (_in_workspace(output / JSON_NAME), _in_workspace(output), *counts, report.count_pushes("pushed"))
    set_outputs(dict(zip(OUTPUTS, values, strict=False)))
    _append("GITHUB_STEP_SUMMARY", _whole_lines((output / MARKDOWN_NAME).read_text(encoding="utf-8")))
    annotate(report)


def annotate(report: Report) -> None:
    """Show each failure and doubt at its line of the manifest."""
    _give(_annotations(report))


def _annotations(report: Report) -> Iterator[str]:
    for outcome in report.outcomes:
        title = f"{outcome.model} to {outcome.backend}"
        if outcome.failure:
            yield _annotation("error", outcome.position, title, _told(outcome.failure))
        elif outcome.status == "unvalidated" and outcome.verdict:
            yield _annotation("warning", outcome.position, title, f"not validated: {outcome.verdict.unvalidated}")
    for pushed in report.pushes:
        title = f"push to {pushed.repository}"
        if pushed.failure:
            yield _annotation("error", pushed.position, title, _told(pushed.failure))
        yield from (_annotation("notice", pushed.position, title, note) for note in pushed.notes)


def set_outputs(outputs: Mapping[str, object]) -> None:
    """Set outputs of the step. Raises OutputError."""
    if active():
        end = f"end-{uuid.uuid4()}"  # no value can hold it, so no value can add an output of its own
        _append("GITHUB_OUTPUT", "".join(f"{name}<<{end}\n{value}\n{end}\n" for name, value in outputs.items()))


def _told(failure: Failure | ConverterError) -> str:
    return f"{failure.message}{f'. To do: {failure.hint}' if failure.hint else ''}"


def _annotation(level: str, position: Position | None, title: str, message: str) -> str:
    place = f"file={_property(_in_workspace(Path(position.file)))},line={position.line},col={position.column}," if position else ""
    return f"::{level} {place}title={_property(title)}::{_data(message)}"


def _give(commands: Iterable[str]) -> None:
    """Give GitHub commands, in one piece; does nothing elsewhere."""
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
    """A path as the other steps and the annotations know it: relative to the workspace, which is mounted elsewhere in a container."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    return str(path.relative_to(workspace)) if workspace and path.is_relative_to(workspace) else str(path)


def _whole_lines(text: str) -> str:
    """The beginning of a summary, as much as GitHub takes of it."""
    if len(text.encode()) <= SUMMARY_BYTES:
        return text
    more = f"\n\nThere is more than a summary may have; all of it is in {MARKDOWN_NAME}.\n"
    kept = text.encode()[: SUMMARY_BYTES - len(more.encode())].decode(errors="ignore")
    return kept[: kept.rfind("\n")] + more


def _data(text: str) -> str:
    """Text as a workflow command's message: percent and line ends escaped, as GitHub's toolkit does."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
