"""What GitHub Actions is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter import report
from converter.cli.actions import OUTPUTS, tell
from converter.records import Failure, Position
from converter.report import Report
from tests.unit.samples import failed, outcome, pushed, verdict

FAILURE = Failure(stage="fetch", kind="CheckpointError", message="100% wrong:\r\nit is, alas", hint="look\nelsewhere")
REPORT = Report(
    outcomes=(
        outcome(),
        outcome(status="skipped"),
        outcome(status="unvalidated"),
        failed(model="./a:b,c", position=Position(file="my,models.txt", line=3, column=5), failure=FAILURE),
    )
)


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the files that a step of GitHub Actions writes to, with something in each already."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for variable, name in (("GITHUB_OUTPUT", "output"), ("GITHUB_STEP_SUMMARY", "summary")):
        (tmp_path / name).write_text("before\n", encoding="utf-8")
        monkeypatch.setenv(variable, str(tmp_path / name))
    return tmp_path


def test_outputs_and_the_summary_are_added_to_what_is_there(github: Path) -> None:
    report.write(REPORT, github / "out")
    tell(REPORT, github / "out")
    before, *lines = (github / "output").read_text(encoding="utf-8").splitlines()
    values = (github / "out" / "report.json", github / "out", 1, 1, 1, 1, 0)
    end = lines[2]
    assert before == "before"
    assert lines == [line for name, value in zip(OUTPUTS, values, strict=True) for line in (f"{name}<<{end}", str(value), end)]
    assert (github / "summary").read_text(encoding="utf-8") == "before\n" + (github / "out" / "report.md").read_text(encoding="utf-8")


def test_a_failure_is_an_annotation_at_its_line_whatever_its_words(github: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report.write(REPORT, github)
    tell(REPORT, github)
    assert capsys.readouterr().err.splitlines() == [
        "::error file=my%2Cmodels.txt,line=3,col=5,title=./a%3Ab%2Cc to onnx::100%25 wrong:%0D%0Ait is, alas. To do: look%0Aelsewhere"
    ]


def test_a_push_that_failed_is_an_error_and_what_there_is_to_know_a_notice(github: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Position(file="models.txt", line=2, column=1)
    failure = Failure(stage="push", kind="PushError", message="it is not there", hint="look")
    told = Report(outcomes=(), pushes=(pushed(position=place, status="failed", failure=failure), pushed(position=place, notes=("a note",))))
    report.write(told, github)
    tell(told, github)
    assert capsys.readouterr().err.splitlines() == [
        "::error file=models.txt,line=2,col=1,title=push to org/name::it is not there. To do: look",
        "::notice file=models.txt,line=2,col=1,title=push to org/name::a note",
    ]


def test_what_was_not_validated_is_a_warning_at_its_line(github: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Position(file="models.txt", line=2, column=1)
    kept = outcome(status="unvalidated", position=place, verdict=verdict(unvalidated="nothing runs it here"))
    report.write(Report(outcomes=(kept,)), github)
    tell(Report(outcomes=(kept,)), github)
    assert capsys.readouterr().err.splitlines() == [
        "::warning file=models.txt,line=2,col=1,title=org/name to onnx::not validated: nothing runs it here"
    ]


def test_files_that_github_does_not_name_are_not_missed(github: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_OUTPUT")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    report.write(REPORT, github)
    tell(REPORT, github)


def test_elsewhere_nothing_is_told(github: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    tell(REPORT, github)
    assert capsys.readouterr() == ("", "")
    assert (github / "output").read_text(encoding="utf-8") == "before\n"
