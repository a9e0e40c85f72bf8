"""Everything that a user reads: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, get_args

import click
from pydantic_core import to_json

from converter.artifacts.job_log import line
from converter.backends import REFUSED, Backend
from converter.cli import actions
from converter.core.errors import ConverterError, ManifestError
from converter.core.records import TIERS, Event, Failure, LogFormat, Outcome, Pushed, Verdict
from converter.core.versions import LOADING, untested
from converter.report import Report
from converter.report.figures import bytes_for_people

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Console:
    """The owner of both streams. `--json` prints one JSON document on standard output, `--quiet` nothing.

    `--log-format json` prints one event per line on standard error.
    """

    def __init__(self) -> None:
        self.quiet = False
        self.json = False
        self.debug = False
        self.verbose = False
        self.log_format: LogFormat = "text"

    def say(self, text: str) -> None:
        """Print a result for people; in a workflow to the log, because GitHub mixes the order of the two streams."""
        if not self.quiet and not self.json:
            click.echo(text, err=actions.active())

    def say_aside(self, text: str) -> None:
        """Print progress."""
        if self.logs_json:
            self.event(Event(event="note", message=text))
        elif not self.quiet:
            click.echo(text, err=True)

    @property
    def logs_json(self) -> bool:
        """Whether standard error is for programs."""
        return self.log_format == "json"

    def event(self, event: Event) -> None:
        """Print an event for programs, with `--log-format json`. `--quiet` prints errors only."""
        if self.logs_json and not (self.quiet and event.event != "error"):
            click.echo(line(event, "json"), err=True)

    def notices(self, backends: Iterable[Backend]) -> None:
        """Print the notices of the backends in use and of installed libraries, once each."""
        used = [*dict.fromkeys(backends)]
        packages = [package for backend in used for package in (*backend.packages, *LOADING)]
        tested = {name: versions for backend in used for name, versions in backend.tested.items()}
        for notice in filter(None, (*REFUSED.values(), *(backend.notice for backend in used), untested(packages, tested))):
            self.say_aside(f"note: {notice}")

    def give(self, document: Any) -> None:
        """Print a result for programs, with `--json`."""
        if self.json:
            click.echo(to_json(document, indent=2, inf_nan_mode="strings"))

    def error(self, error: ConverterError) -> None:
        """Print the error that ends the command: every problem of a manifest, the message, the hint."""
        for position, problem in error.problems if isinstance(error, ManifestError) else ():
            if self.logs_json:
                self.event(Event(event="error", position=str(position), message=problem))
            else:
                click.echo(f"{position}: {problem}", err=True)
        self._error(error.message, error.hint, "".join(traceback.format_exception(error)))

    def failure(self, failure: Failure, where: str = "") -> None:
        """Print why a job failed."""
        self._error(f"{where}{failure.message}", failure.hint, failure.traceback)

    def failures(self, report: Report) -> None:
        """Print why jobs and pushes failed, with their places in the manifest."""
        for outcome in report.outcomes:
            if outcome.failure:
                self.failure(outcome.failure, f"{outcome.position}: {outcome.model}: ")
        for pushed in report.pushes:
            if pushed.failure:
                self.failure(pushed.failure, f"{pushed.position}: {pushed.repository}: ")

    def _error(self, message: str, hint: str, trace: str) -> None:
        if self.logs_json:
            shown = f"{message}\n{trace}" if self.debug and trace else message
            self.event(Event(event="error", message=shown, hint=hint or None))
            return
        if self.debug and trace:
            click.echo(trace, err=True, nl=False)
        click.echo(f"error: {message}", err=True)
        if hint:
            click.echo(f"  to do: {hint}", err=True)


console = Console()


class _Aside(logging.Handler):
    """Prints the package's log records as progress."""

    def emit(self, record: logging.LogRecord) -> None:
        console.say_aside(record.getMessage())


_logger = logging.getLogger("converter")
_logger.addHandler(_Aside())
_logger.propagate = False


def output_options(function: _Command) -> _Command:
    """The options of every command: `--json`, `--quiet`, `--debug`, `--verbose` and `--log-format`."""

    def remember(_: click.Context, parameter: click.Parameter, value: bool | LogFormat) -> None:
        setattr(console, str(parameter.name), value)
        _logger.setLevel(logging.DEBUG if console.verbose else logging.WARNING)

    function = click.option(
        "--log-format",
        type=click.Choice(get_args(LogFormat)),
        default="text",
        show_default=True,
        envvar="CONVERTER_LOG_FORMAT",
        expose_value=False,
        is_eager=True,
        callback=remember,
        help="Log format: text, or json (one event per line).",
    )(function)

    for names, text in (
        (("--debug",), "Show the traceback of an error."),
        (("-v", "--verbose"), "Print what each step does and costs."),
        (("--quiet",), "Print errors only."),
        (("--json",), "Print one JSON document to standard output."),
    ):
        function = click.option(*names, is_flag=True, expose_value=False, is_eager=True, callback=remember, help=text)(function)
    return function


def outcome_line(outcome: Outcome) -> str:
    """The line on a finished job."""
    what = f"{outcome.model} → {outcome.backend}"
    if outcome.failure:
        return f"✗ {what}: failed at stage {outcome.failure.stage}"
    if outcome.status == "cancelled":
        return f"– {what}: not started after a failure"
    assert outcome.artifact
    size = bytes_for_people(outcome.artifact.size)
    if outcome.status == "unvalidated":
        why = outcome.verdict.unvalidated if outcome.verdict else ""
        return f"? {what}: {size} in {outcome.destination}, NOT VALIDATED: {why}"
    if outcome.status == "skipped":
        return f"= {what}: unchanged, {size} in {outcome.destination}"
    seconds = sum(stage.seconds for stage in outcome.stages)
    return f"✓ {what}: {size} in {outcome.destination}, {_measured(outcome.verdict)}, {seconds:.1f} s"


def _measured(verdict: Verdict | None) -> str:
    """The figures of an artifact, in a clause."""
    assert verdict
    figures = [f"largest error {verdict.max_abs_error:.1e}"] if verdict.has_base_variant else []
    figures += [f"{variant.name} {TIERS[variant.tier]}" for variant in verdict.variants if not variant.is_base]
    return ", ".join(figures)


def push_line(pushed: Pushed) -> str:
    """The line on a push, and one per note."""
    where = f"{pushed.repository}{f', pull request {pushed.pull_request}' if pushed.pull_request else ''}"
    signs = {"pushed": f"↑ {where}: pushed, {pushed.url}", "unchanged": f"= {where}: on the Hub already, {pushed.url}"}
    return "\n".join((signs.get(pushed.status, f"✗ {where}: not pushed"), *(f"  note: {note}" for note in pushed.notes)))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align columns for a terminal, and for `cut` and `awk`."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (header, *rows))


def on_terminal() -> bool:
    """Whether a live display can be shown."""
    return sys.stderr.isatty()


def results_on_terminal() -> bool:
    """Whether results go to a terminal."""
    return sys.stdout.isatty()
