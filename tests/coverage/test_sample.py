"""A sample of the rows that the table says pass is tried again, so that the table is true of this commit too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.coverage import results
from tests.coverage.rows import Row
from tests.coverage.survey import survey
from tests.coverage.test_most_converted import MOST_CONVERTED

SIZE = 24
FOUND = results.latest()


def sample() -> list[Row]:
    """Of the rows that pass, and that no other test tries, those that come first by a number that their names alone decide."""
    passing = [row for row, result in FOUND.items() if result.passed and row.model_type not in MOST_CONVERTED]
    return sorted(passing, key=lambda row: row.place)[:SIZE]


@pytest.mark.coverage
def test_what_the_table_says_passes_does(tmp_path: Path) -> None:
    tried = {result.row: result for result in survey(sample(), tmp_path, workers=2)}
    assert len(tried) == SIZE
    assert {row: result.reason for row, result in tried.items() if not result.passed} == {}
