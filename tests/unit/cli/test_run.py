"""`converter run` as far as no model is touched: which models it is about, and when it stops."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converter.cli import run
from converter.cli.manifest_options import Seconds
from converter.executors.limits import DEFAULT

Run = Callable[..., Any]


def statuses(folder: Path) -> list[tuple[str, str]]:
    return [
        (outcome["model"], outcome["status"]) for outcome in json.loads((folder / "report.json").read_text(encoding="utf-8"))["outcomes"]
    ]


def test_without_fail_fast_every_model_has_its_turn(converter: Run, manifest: Callable[..., Path], tmp_path: Path) -> None:
    result = converter("run", "--manifest", manifest("./a\n./b\n"), "--output", tmp_path / "out")
    assert (result.code, statuses(tmp_path / "out")) == (1, [("./a", "failed"), ("./b", "failed")])


def test_with_fail_fast_nothing_is_started_after_a_failure_and_the_report_says_so(
    converter: Run, manifest: Callable[..., Path], tmp_path: Path
) -> None:
    result = converter("run", "--manifest", manifest("./a\n./b\n./c to=torchscript\n"), "--output", tmp_path / "out", "--fail-fast")
    assert (result.code, statuses(tmp_path / "out")) == (1, [("./a", "failed"), ("./b", "cancelled"), ("./c", "cancelled")])
    assert "– ./b → onnx: not started after a failure\n– ./c → torchscript: not started" in result.out
    assert "0 converted, 0 unchanged, 1 failed, 2 not started; report: " in result.out
    assert "| ./c |  | torchscript |  | ⏹️ not started |" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_lines_choose_models_by_their_places_which_stay_what_they_are(
    converter: Run, manifest: Callable[..., Path], tmp_path: Path
) -> None:
    path = manifest("# ours\n./a\n\n./b\n./c\n")
    result = converter("run", "--manifest", path, "--output", tmp_path / "out", "--lines", "5, 2")
    assert statuses(tmp_path / "out") == [("./a", "failed"), ("./c", "failed")]
    assert f"error: {path}:5:1: ./c: no folder" in result.err


def test_a_line_without_a_model_is_an_error_and_nothing_is_started(converter: Run, manifest: Callable[..., Path], tmp_path: Path) -> None:
    path = manifest("# ours\n./a\n")
    result = converter("run", "--manifest", path, "--output", tmp_path / "out", "--lines", "1,2,9")
    assert (result.code, result.err) == (2, f"error: no model at line 1, 9 of {path}\n  to do: check --lines\n")
    assert not (tmp_path / "out").exists()


def test_what_is_wrong_at_another_line_is_told_all_the_same(converter: Run, manifest: Callable[..., Path], tmp_path: Path) -> None:
    result = converter("run", "--manifest", manifest("./a\n./b to=nowhere\n"), "--output", tmp_path / "out", "--lines", "1")
    assert (result.code, "unknown backend 'nowhere'" in result.err) == (2, True)


def test_the_backends_are_for_models_that_name_none(
    converter: Run, manifest: Callable[..., Path], tmp_path: Path, monkeypatch: Any
) -> None:
    path = manifest("models:\n- ./a\n- {model: ./b, to: onnx}\n", "models.yaml")
    monkeypatch.setenv("CONVERTER_BACKENDS", "torchscript, onnx")
    converter("run", "--manifest", path, "--output", tmp_path / "out")
    outcomes = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["outcomes"]
    assert [(outcome["model"], outcome["backend"]) for outcome in outcomes] == [("./a", "onnx"), ("./a", "torchscript"), ("./b", "onnx")]


def test_an_option_that_those_backends_do_not_have_is_a_problem_of_the_manifest(converter: Run, manifest: Callable[..., Path]) -> None:
    result = converter("run", "--manifest", manifest("./a opset=21\n"), "--backends", "torchscript")
    assert (result.code, "'opset' is not an option of torchscript" in result.err) == (2, True)


@pytest.mark.parametrize("lines", ["9" * 5000, "1,,2", "٣", "-1", "\x1b[2J"], ids=range(5))
def test_lines_that_are_no_numbers_are_a_usage_error(converter: Run, manifest: Callable[..., Path], lines: str) -> None:
    result = converter("run", "--manifest", manifest("./nothing\n"), "--lines", lines)
    assert result.code == 2
    assert "is not of the form 3,7." in result.err and "\x1b" not in result.err


@pytest.mark.parametrize("argument", ["--manifest=\x1b[2J", "--output=\x1b[2J", "\x1b[2J", "--\x1b[2J"])
def test_no_word_of_the_command_line_controls_the_terminal(converter: Run, argument: str) -> None:
    result = converter("run", argument)
    assert result.code == 2
    assert "\x1b" not in result.err + result.out


@pytest.mark.parametrize("name", ["sequence-length", "batch-size"])
def test_a_length_that_no_tensor_has_is_a_problem_of_the_manifest(converter: Run, manifest: Callable[..., Path], name: str) -> None:
    result = converter("run", "--manifest", manifest(f"./nothing to=torchscript {name}=99999999999999999999\n"))
    assert result.code == 2
    assert f"{name}=99999999999999999999: input should be less than or equal to 2147483647" in result.err


def test_with_json_logs_standard_error_has_an_event_a_line_and_nothing_else(
    converter: Run, manifest: Callable[..., Path], tmp_path: Path
) -> None:
    result = converter("run", "--manifest", manifest("./a\n./b\n"), "--output", tmp_path / "out", "--log-format", "json")
    events = [json.loads(line) for line in result.err.splitlines()]
    assert [event["event"] for event in events] == [
        "batch-began",
        *("stage-began", "stage-ended", "job-ended") * 2,
        *("error", "error", "batch-ended"),
    ]
    ended = events[3]
    assert (ended["model"], ended["status"], ended["stage"]) == ("./a", "failed", "resolve")
    assert "no folder" in ended["message"] and ended["hint"] and ended["seconds"] >= 0
    assert "✗ ./a → onnx: failed at stage resolve" in result.out


def test_a_wrong_manifest_is_told_as_events_too(converter: Run, manifest: Callable[..., Path], tmp_path: Path) -> None:
    path = manifest("./a to=nowhere\n")
    result = converter("run", "--manifest", path, "--output", tmp_path / "out", "--log-format", "json")
    events = [json.loads(line) for line in result.err.splitlines()]
    assert (result.code, [event["event"] for event in events]) == (2, ["error", "error"])
    assert events[0]["position"] == f"{path}:1:5"


def test_each_failure_has_a_log_that_the_report_names(converter: Run, manifest: Callable[..., Path], tmp_path: Path) -> None:
    for _ in range(2):
        converter("run", "--manifest", manifest("./a\n"), "--output", tmp_path / "out")
    (outcome,) = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["outcomes"]
    assert outcome["log"] == str(tmp_path / "out" / "a" / "onnx.converter.log")
    events = [line.split()[1] for line in Path(outcome["log"]).read_text(encoding="utf-8").splitlines()]
    assert events == ["job-began", "stage-began", "stage-ended", "job-ended"] * 2  # it tells of every run


@pytest.mark.parametrize("text", ["soon", "-1", "1e9", "", "5 m", "٣"])
def test_what_is_no_time_is_told(text: str, converter: Run, manifest: Callable[..., Path], tmp_path: Path) -> None:
    result = converter("run", "--manifest", manifest("./a\n"), "--output", tmp_path / "out", "--timeout", text)
    assert (result.code, "is not a duration; write seconds as 90, minutes as 30m" in result.err) == (2, True)


def test_a_time_has_units_and_zero_is_no_end() -> None:
    times = {"90": 90.0, "1.5s": 1.5, "30m": 1800.0, "2h": 7200.0, "0": None}
    assert {text: Seconds().convert(text, None, None) for text in times} == times


def test_the_default_limits_are_those_of_the_python_interface() -> None:
    defaults = {parameter.name: parameter.default for parameter in run.command.params}
    assert Seconds().convert(defaults["timeout"], None, None) == DEFAULT.timeout
    assert defaults["retries"] == DEFAULT.retries
