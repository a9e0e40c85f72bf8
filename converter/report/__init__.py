"""All outcomes of a batch, as data, as text and as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from converter.core.files import write_whole
from converter.core.output_errors import output_error
from converter.core.records import Outcome, Pushed, PushStatus, Record, Status
from converter.report.markdown import render

JSON_NAME = "report.json"
MARKDOWN_NAME = "report.md"
HTML_NAME = "report.html"


class Report(Record):
    """The outcomes of a batch in the manifest's order, and the versions that produced them."""

    format: Literal[2] = 2
    outcomes: tuple[Outcome, ...]
    pushes: tuple[Pushed, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 if every job is converted or unchanged, and every push is on the Hub; otherwise 1."""
        return 1 if self.count("failed") or self.count("cancelled") or self.count_pushes("failed") else 0

    def count(self, status: Status) -> int:
        """How many outcomes have this status."""
        return Counter(outcome.status for outcome in self.outcomes)[status]

    def count_pushes(self, status: PushStatus) -> int:
        """How many pushes have this status."""
        return Counter(pushed.status for pushed in self.pushes)[status]

    @property
    def summary(self) -> str:
        """One line that says how the batch went."""
        unvalidated = self.count("unvalidated")
        more = f", {unvalidated} not validated" if unvalidated else ""
        done = f"{self.count('converted')} converted{more}, {self.count('skipped')} unchanged, {self.count('failed')} failed"
        if cancelled := self.count("cancelled"):
            done += f", {cancelled} not started"
        if not self.pushes:
            return done
        return f"{done}; " + ", ".join(f"{self.count_pushes(status)} {word}" for status, word in _PUSHES.items())


_PUSHES: Mapping[PushStatus, str] = {"pushed": "pushed", "unchanged": "on the Hub already", "failed": "not pushed"}


def in_order(outcomes: Iterable[Outcome], pushes: Iterable[Pushed] = ()) -> Report:
    """A report of outcomes and pushes that came in any order, sorted as the manifest has them."""

    def place(outcome: Outcome) -> tuple[int, int, str]:
        return (*line(outcome), outcome.backend)

    def line(result: Outcome | Pushed) -> tuple[int, int]:
        return (result.position.line, result.position.column) if result.position else (0, 0)

    return Report(outcomes=tuple(sorted(outcomes, key=place)), pushes=tuple(sorted(pushes, key=line)))


def write(report: Report, folder: Path) -> Path:
    """Write report.json, report.md and report.html into `folder`, each whole or not at all; return the first. Raises OutputError."""
    from converter.report import page

    for name, text in (
        (JSON_NAME, report.model_dump_json(indent=2)),
        (MARKDOWN_NAME, render(report.outcomes, report.pushes, report.summary)),
        (HTML_NAME, page.render(report.outcomes, report.pushes, report.summary, datetime.now(UTC))),
    ):
        try:
            write_whole(folder / name, text.encode())
        except OSError as error:
            raise output_error(folder / name, error) from error
    return folder / JSON_NAME
