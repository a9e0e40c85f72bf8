"""The reports of a divided batch become one."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from converter import report
from converter.core.errors import UsageError
from converter.core.records import Job, Options, Outcome, Position, Source
from converter.report import Report
from converter.report.merge import merge
from tests.support.samples import case as sample_case
from tests.support.samples import comparison, failed, outcome, pushed
from tests.support.samples import verdict as sample_verdict


def at(line: int) -> Position:
    return Position(file="models.txt", line=line)


def write(folder: Path, *outcomes: Outcome, **fields: object) -> Path:
    report.write(Report(outcomes=outcomes, **fields), folder)  # type: ignore[arg-type]
    return folder


def job(line: int, backend: str = "onnx", file: str = "models.txt", name: str = "org/name") -> Job:
    return Job(
        source=Source(name=name),
        backend=backend,
        options=Options(feature="masked-lm"),
        destination=Path("out/org/name") / backend,
        position=Position(file=file, line=line),
    )


def test_all_outcomes_and_pushes_stand_in_the_manifests_order(tmp_path: Path) -> None:
    write(tmp_path / "parts" / "2", outcome(position=at(4)), outcome(position=at(1)), pushes=(pushed(position=at(4)),))
    write(tmp_path / "parts" / "1" / "out", failed(position=at(3)), outcome(position=at(2)), pushes=(pushed(position=at(2)),))
    merged = merge([tmp_path / "parts"], map(job, (1, 2, 3, 4)))
    assert [outcome.position for outcome in merged.outcomes] == [at(1), at(2), at(3), at(4)]
    assert [push.position for push in merged.pushes] == [at(2), at(4)]
    assert merged.exit_code == 1


def test_what_a_part_measured_survives_the_round(tmp_path: Path) -> None:
    wrong = comparison(close=False, max_abs_error=math.inf, max_rel_error=math.inf)
    before = failed(position=at(1), verdict=sample_verdict(cases=(sample_case(wrong),)))
    (after,) = merge([write(tmp_path, before)], [job(1)]).outcomes
    assert after == before


def test_a_report_may_be_named_itself_and_counts_once(tmp_path: Path) -> None:
    write(tmp_path, outcome(position=at(1)))
    assert len(merge([tmp_path / "report.json", tmp_path], [job(1)]).outcomes) == 1


def test_the_manifest_may_lie_elsewhere_on_each_machine_and_places_are_those_of_this_one(tmp_path: Path) -> None:
    write(tmp_path, outcome(position=at(1)), pushes=(pushed(position=at(1)),))
    merged = merge([tmp_path], [job(1, file="/here/models.txt")])
    assert (merged.outcomes[0].status, str(merged.outcomes[0].position)) == ("converted", "/here/models.txt:1:1")
    assert str(merged.pushes[0].position) == "/here/models.txt:1:1"


def test_a_job_that_no_part_tells_of_is_a_failure_at_its_line(tmp_path: Path) -> None:
    write(tmp_path, outcome(position=at(1)), outcome(position=at(2)))
    merged = merge([tmp_path], [job(1), job(2), job(2, "torchscript"), job(7)])
    lost = [record for record in merged.outcomes if record.failure]
    assert [(record.position, record.backend, record.status) for record in lost] == [
        (at(2), "torchscript", "failed"),
        (at(7), "onnx", "failed"),
    ]
    assert lost[1].failure
    assert lost[1].failure.message == "no shard's report tells of it"
    assert (lost[1].model, lost[1].feature, lost[1].destination) == ("org/name", "masked-lm", "out/org/name/onnx")
    assert merged.exit_code == 1


@pytest.mark.parametrize("expected", [job(1, name="org/other"), job(2), job(1, "torchscript")], ids=["model", "line", "backend"])
def test_a_part_of_another_manifest_is_an_error(tmp_path: Path, expected: Job) -> None:
    write(tmp_path, outcome(position=at(1)))
    with pytest.raises(UsageError, match=r"report\.json tells of models\.txt:1:1: org/name to onnx, which the manifest does not ask for"):
        merge([tmp_path], [expected])


def test_two_parts_that_tell_of_the_same_are_an_error_that_names_both(tmp_path: Path) -> None:
    write(tmp_path / "a", outcome(position=at(1)))
    write(tmp_path / "b", failed(position=at(1)))
    with pytest.raises(UsageError, match=r"a/report\.json and .*b/report\.json both tell of models\.txt:1:1: org/name to onnx"):
        merge([tmp_path], [job(1)])


def test_the_report_of_an_earlier_merge_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, failed(position=at(1)))
    write(tmp_path / "part", outcome(position=at(1)))
    assert merge([tmp_path], [job(1)], tmp_path / "report.json").exit_code == 0


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"format": 1, "outcomes": []}', '{"outcomes": [{}]}', '{"outcomes": [], "more": 1}', "\xff"]
)
def test_what_is_no_report_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match="is not a report that this version can read"):
        merge([tmp_path], [])


def test_a_folder_without_reports_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no report\.json in"):
        merge([tmp_path], [])


def test_a_report_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        merge([tmp_path], [])


def test_a_report_that_is_a_pipe_is_an_error_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "report.json")
    with pytest.raises(UsageError, match="cannot be read: it is not a regular file"):
        merge([tmp_path / "report.json"], [])
