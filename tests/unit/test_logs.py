"""An event is one line, whatever is in it, and no line has a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.logs import JobLog, about, line, redacted
from converter.records import Event, Job, LogFormat, Options, Position, Source

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
    told = json.loads(line(event, "json"))
    assert told.pop("time").endswith("Z")
    assert told == {
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
    told = line(Event(event="output", message=f"GET {secret} failed"), log_format)
    assert "…" in told
    for word in ("hf_abc", "another-kind", "password", "abc.def"):
        assert word not in told


def test_a_log_lies_beside_its_destination_and_goes_with_the_artifact(tmp_path: Path) -> None:
    job = Job(source=Source(name="./tiny"), backend="onnx", options=Options(), destination=tmp_path / "m" / "onnx", log="json")
    log = JobLog(job)
    log.write(Event(event="job-began"), Event(event="stage-began", stage="fetch"))
    assert [json.loads(each)["event"] for each in (tmp_path / "m" / "onnx.log").read_text().splitlines()] == ["job-began", "stage-began"]
    staged = tmp_path / "staged"
    staged.mkdir()
    log.move(staged)
    assert [path.name for path in staged.iterdir()] == ["converter.log"]
    assert list((tmp_path / "m").iterdir()) == []


def test_a_job_that_wants_no_log_has_none_and_one_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for destination, log in ((tmp_path / "onnx", None), (tmp_path / "file" / "onnx", "text")):
        job = Job(source=Source(name="./tiny"), backend="onnx", options=Options(), destination=destination, log=log)  # type: ignore[arg-type]
        JobLog(job).write(Event(event="job-began"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
