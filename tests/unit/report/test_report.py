"""All outcomes of a batch, as data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from converter import report
from converter.core.errors import OutputError
from converter.core.records import Outcome, Position
from converter.report import Report
from tests.support.samples import case, comparison, failed, outcome, pushed, verdict


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [((), 0), ((outcome(), outcome(status="skipped")), 0), ((outcome(), failed()), 1), ((failed(),), 1)],
)
def test_the_exit_code_is_zero_where_nothing_failed(outcomes: tuple[Outcome, ...], code: int) -> None:
    assert Report(outcomes=outcomes).exit_code == code


def test_the_summary_counts_each_status() -> None:
    batch = Report(outcomes=(outcome(), failed(), outcome(), outcome(status="skipped")))
    assert batch.summary == "2 converted, 1 unchanged, 1 failed"
    kept = Report(outcomes=(outcome(), outcome(status="unvalidated")))
    assert (kept.summary, kept.exit_code) == ("1 converted, 1 not validated, 0 unchanged, 0 failed", 0)


def test_a_push_that_failed_is_a_failure_and_the_summary_counts_them() -> None:
    batch = Report(outcomes=(outcome(),), pushes=(pushed(), pushed(status="unchanged"), pushed(status="failed")))
    assert (batch.summary, batch.exit_code) == ("1 converted, 0 unchanged, 0 failed; 1 pushed, 1 on the Hub already, 1 not pushed", 1)
    assert Report(outcomes=(), pushes=(pushed(), pushed(status="unchanged"))).exit_code == 0


def test_pushes_stand_in_the_manifests_order_too() -> None:
    came = [pushed(position=Position(file="m", line=line)) for line in (10, 2)]
    assert [push.position.line for push in report.in_order([], came).pushes if push.position] == [2, 10]


def test_outcomes_stand_in_the_manifests_order_whichever_came_first() -> None:
    came = [
        outcome(position=Position(file="m", line=line), backend=backend) for line, backend in ((10, "onnx"), (2, "onnx"), (2, "neuron"))
    ]
    order = [(record.position.line, record.backend) for record in report.in_order(came).outcomes if record.position]
    assert order == [(2, "neuron"), (2, "onnx"), (10, "onnx")]


def _with_errors(*errors: float) -> Outcome:
    comparisons = [comparison(close=False, max_abs_error=error, max_rel_error=error) for error in errors]
    return failed(verdict=verdict(cases=(case(*comparisons),)))


def test_the_report_is_the_same_when_it_is_read_back_infinite_errors_too(tmp_path: Path) -> None:
    batch = Report(outcomes=(outcome(position=Position(file="models.txt", line=1)), _with_errors(float("inf"), 1.0)))
    path = report.write(batch, tmp_path / "out")
    assert path == tmp_path / "out" / "report.json"
    assert Report.model_validate_json(path.read_bytes()) == batch


def test_the_report_is_json_that_every_reader_knows(tmp_path: Path) -> None:
    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is no JSON")

    batch = Report(outcomes=(_with_errors(float("inf"), float("nan"), float("-inf")),))
    json.loads(report.write(batch, tmp_path).read_bytes(), parse_constant=refuse)


def test_nothing_but_the_three_reports_is_left_in_the_folder(tmp_path: Path) -> None:
    for _ in range(2):
        report.write(Report(outcomes=()), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json", "report.md"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a file is in the place of a folder"):
        report.write(Report(outcomes=()), tmp_path / "file")
