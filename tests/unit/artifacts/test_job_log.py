"""An event is one line, whatever is in it, and no line has a secret."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.artifacts.job_log import JobLog, about, is_log, line, redacted
from converter.core.records import Event, Job, LogFormat, Options, Position, Source
from tests.support.foreign import FOREIGN, put_foreign, state

JOB = Job(
    source=Source(name="./tiny"),
    backend="onnx",
    options=Options(),
    destination=Path("onnx"),
    position=Position(file="models.txt", line=3),
)


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc", "Cf", "Zl", "Zp", "L"])))
def test_an_event_is_one_line_whatever_it_says(message: str) -> None:
    event = Event(event="warning", message=message)
    for log_format in get_args(LogFormat):
        assert line(event, log_format).isprintable()
    assert json.loads(line(event, "json")).get("message") == redacted(message)
    assert len(line(event, "text").splitlines()) == 1


def test_an_event_says_when_it_was_what_it_is_and_to_which_job() -> None:
    event = about(JOB, Event(event="stage-ended", stage="convert", seconds=1.5, cpu_seconds=2.0, peak_anonymous_bytes=3))
    record = json.loads(line(event, "json"))
    assert record.pop("time").endswith("Z")
    assert record == {
        "event": "stage-ended",
        "model": "./tiny",
        "backend": "onnx",
        "position": "models.txt:3:1",
        "stage": "convert",
        "seconds": 1.5,
        "cpu_seconds": 2.0,
        "peak_anonymous_bytes": 3,
    }
    text = line(event, "text")
    assert text.split(" ", 1)[1] == (
        "stage-ended model=./tiny backend=onnx position=models.txt:3:1 stage=convert seconds=1.5 cpu_seconds=2.0 peak_anonymous_bytes=3"
    )


def test_a_value_with_spaces_is_quoted() -> None:
    assert line(Event(event="note", message='two "words"'), "text").endswith(r'message="two \"words\""')


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize(
    "secret",
    [
        "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
        "a-token-of-another-kind",
        "https://user:password@example.org",
        "Authorization: Bearer abc.def",
    ],
)
def test_no_line_has_a_secret(secret: str, log_format: LogFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a-token-of-another-kind")
    text = line(Event(event="output", message=f"GET {secret} failed"), log_format)
    assert "…" in text
    for word in ("hf_abc", "another-kind", "password", "abc.def"):
        assert word not in text


def test_a_log_lies_beside_its_destination_and_goes_with_the_artifact(tmp_path: Path) -> None:
    job = Job(source=Source(name="./tiny"), backend="onnx", options=Options(), destination=tmp_path / "m" / "onnx", log="json")
    log = JobLog(job)
    log.write(Event(event="job-began"), Event(event="stage-began", stage="fetch"))
    assert log.path == tmp_path / "m" / "onnx.converter.log"
    assert events_in(log.path) == ["job-began", "stage-began"]
    staged = tmp_path / "staged"
    staged.mkdir()
    log.stage(staged)
    assert log.path.exists()  # without an installed artifact, only this log reports the job
    staged.rename(tmp_path / "m" / "onnx")
    log.keep()
    log.write(Event(event="stage-ended", stage="fetch"))
    assert log.path == JobLog(job, kept=True).path == tmp_path / "m" / "onnx" / "converter.log"
    assert events_in(log.path) == ["job-began", "stage-began", "stage-ended"]
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["onnx"]


def events_in(log: Path) -> list[str]:
    return [json.loads(entry)["event"] for entry in log.read_text(encoding="utf-8").splitlines()]


def job_at(destination: Path, log: LogFormat | None = "json", model: str = "./tiny") -> Job:
    return Job(source=Source(name=model), backend="onnx", options=Options(), destination=destination, log=log)


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_log_is_written_to_no_file_of_somebody_elses_and_moves_none(kind: str, tmp_path: Path) -> None:
    put_foreign(tmp_path / "onnx.log", kind)
    put_foreign(tmp_path / "onnx.converter.log", kind)
    put_foreign(tmp_path / "staged" / "onnx" / "converter.log", kind)
    before = state(tmp_path)
    for job in (job_at(tmp_path / "onnx"), job_at(tmp_path / "onnx", "text")):
        JobLog(job).write(Event(event="job-began"))
    log = JobLog(job)
    assert log.path == tmp_path / "onnx.converter-2.log"
    assert len(log.path.read_text(encoding="utf-8").splitlines()) == 2
    log.path.unlink()
    log.stage(tmp_path / "staged")
    assert state(tmp_path) == before


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_somebody_elses_in_the_artifacts_folder_is_not_its_log(kind: str, tmp_path: Path) -> None:
    put_foreign(tmp_path / "onnx" / "converter.log", kind)
    before = state(tmp_path)
    job = job_at(tmp_path / "onnx")
    log = JobLog(job)
    log.write(Event(event="job-began"))
    (tmp_path / "staged").mkdir()
    log.stage(tmp_path / "staged")
    (tmp_path / "staged").rmdir()  # nothing came into it
    log.keep()
    JobLog(job, kept=True).write(Event(event="job-ended"))
    assert log.path == tmp_path / "onnx.converter.log"
    assert events_in(log.path) == ["job-began", "job-ended"]
    log.path.unlink()
    assert state(tmp_path) == before


def test_a_job_without_a_log_moves_nothing(tmp_path: Path) -> None:
    log = JobLog(job_at(tmp_path / "onnx"))
    log.write(Event(event="job-began"))
    (tmp_path / "staged").mkdir()
    before = state(tmp_path)
    none = JobLog(job_at(tmp_path / "onnx", None))
    none.stage(tmp_path / "staged")
    none.keep()
    assert none.path is None
    assert state(tmp_path) == before


def test_a_log_is_known_by_its_first_line_in_either_format(tmp_path: Path) -> None:
    for log_format in get_args(LogFormat):
        job = job_at(tmp_path / log_format, log_format, model='./a "b" backend=c')
        log = JobLog(job)
        log.write(Event(event="stage-began", stage="fetch"))  # as one that failed before it began
        assert log.path
        assert is_log(log.path) and is_log(log.path, job)
        assert not is_log(log.path, job_at(tmp_path / log_format, log_format))  # another model's
        path = log.path
        (tmp_path / f"{log_format}.name").hardlink_to(path)
        assert not is_log(path)  # it is by another name somebody else's


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "2026-11-25T14:20:31Z batch-began", '{"event": "job-began"}', "\udcff"])
def test_what_begins_otherwise_is_no_log(text: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(text.encode(errors="surrogateescape"))
    assert not is_log(tmp_path / "log")


def test_where_every_name_is_taken_there_is_no_log(tmp_path: Path) -> None:
    for name in ("", *(f"-{number}" for number in range(2, 10))):
        (tmp_path / f"onnx.converter{name}.log").touch()
    before = state(tmp_path)
    log = JobLog(job_at(tmp_path / "onnx"))
    log.write(Event(event="job-began"))
    assert (log.path, state(tmp_path)) == (None, before)


def test_a_job_that_wants_no_log_has_none_and_one_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for destination, log in ((tmp_path / "onnx", None), (tmp_path / "file" / "onnx", "text")):
        job = Job(source=Source(name="./tiny"), backend="onnx", options=Options(), destination=destination, log=log)  # type: ignore[arg-type]
        JobLog(job).write(Event(event="job-began"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_buffered_log_writes_nothing_before_it_is_flushed(tmp_path: Path) -> None:
    log = JobLog(replace(JOB, destination=tmp_path / "out" / "onnx", log="text"), buffered=True)
    log.write(Event(event="job-began"), Event(event="note", message="first"))
    assert list(tmp_path.iterdir()) == []
    log.flush()
    log.write(Event(event="note", message="second"))
    assert log.path
    assert [line.partition("message=")[2] for line in log.path.read_text().splitlines()] == ["", "first", "second"]
