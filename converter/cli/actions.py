"""What GitHub Actions is told: outputs, the step summary, and an annotation at the manifest's line for each failure and doubt."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import click

from converter.records import Failure, Position
from converter.report import JSON_NAME, MARKDOWN_NAME, Report

OUTPUTS = ("report", "artifacts", "converted", "unvalidated", "failed", "skipped", "pushed")


def tell(report: Report, output: Path) -> None:
    """Write to the files that GitHub names, and annotate; does nothing elsewhere."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    counts = (report.count(status) for status in ("converted", "unvalidated", "failed", "skipped"))
    values = (output / JSON_NAME, output, *counts, report.count_pushes("pushed"))
    end = f"end-{uuid.uuid4()}"  # no value can hold it, so no value can add an output of its own
    _append("GITHUB_OUTPUT", "".join(f"{name}<<{end}\n{value}\n{end}\n" for name, value in zip(OUTPUTS, values, strict=True)))
    _append("GITHUB_STEP_SUMMARY", (output / MARKDOWN_NAME).read_text(encoding="utf-8"))
    for outcome in report.outcomes:
        title = f"{outcome.model} to {outcome.backend}"
        if outcome.failure:
            _annotate("error", outcome.position, title, _told(outcome.failure))
        elif outcome.status == "unvalidated" and outcome.verdict:
            _annotate("warning", outcome.position, title, f"not validated: {outcome.verdict.unvalidated}")
    for pushed in report.pushes:
        if pushed.failure:
            _annotate("error", pushed.position, f"push to {pushed.repository}", _told(pushed.failure))
        for note in pushed.notes:
            _annotate("notice", pushed.position, f"push to {pushed.repository}", note)


def _told(failure: Failure) -> str:
    return f"{failure.message}{f'. To do: {failure.hint}' if failure.hint else ''}"


def _annotate(level: str, position: Position | None, title: str, told: str) -> None:
    if position:
        place = f"file={_property(position.file)},line={position.line},col={position.column}"
        click.echo(f"::{level} {place},title={_property(title)}::{_data(told)}", err=True)


def _append(variable: str, text: str) -> None:
    if path := os.environ.get(variable):
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)


def _data(text: str) -> str:
    """Text as a workflow command's message: percent and line ends escaped, as GitHub's toolkit does."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
