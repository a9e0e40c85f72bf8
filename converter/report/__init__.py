"""All outcomes of a batch, as data and as text."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from converter.errors import output_error
from converter.records import Outcome, Record, Status
from converter.report.markdown import render

JSON_NAME = "report.json"
MARKDOWN_NAME = "report.md"


class Report(Record):
    """The outcomes of a batch in the manifest's order, and which versions of what made them."""

    format: int = 1
    outcomes: tuple[Outcome, ...]

    @property
    def exit_code(self) -> int:
        """0 where every job is converted or was done already, 1 otherwise."""
        return 1 if self.count("failed") else 0

    def count(self, status: Status) -> int:
        """How many outcomes have this status."""
        return Counter(outcome.status for outcome in self.outcomes)[status]

    @property
    def summary(self) -> str:
        """One line that says how the batch went."""
        unvalidated = self.count("unvalidated")
        more = f", {unvalidated} not validated" if unvalidated else ""
        return f"{self.count('converted')} converted{more}, {self.count('skipped')} done already, {self.count('failed')} failed"


def in_order(outcomes: Iterable[Outcome]) -> Report:
    """A report of outcomes that came in any order, sorted as the manifest has them."""

    def place(outcome: Outcome) -> tuple[int, str]:
        return (outcome.position.line if outcome.position else 0, outcome.backend)

    return Report(outcomes=tuple(sorted(outcomes, key=place)))


def write(report: Report, folder: Path) -> Path:
    """Write report.json and report.md into `folder`, each whole or not at all; return the first. Raises OutputError."""
    for name, text in ((JSON_NAME, report.model_dump_json(indent=2)), (MARKDOWN_NAME, render(report.outcomes, report.summary))):
        temporary = folder / f".converter-{os.getpid()}-{name}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(folder / name)
        except OSError as error:
            with suppress(OSError):  # it may never have been made
                temporary.unlink()
            raise output_error(folder / name, error) from error
    return folder / JSON_NAME
