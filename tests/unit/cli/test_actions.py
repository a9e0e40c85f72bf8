"""Output for GitHub Actions."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converter import report
from converter.cli import actions
from converter.cli.actions import OUTPUTS, SUMMARY_BYTES, write_results
from converter.core.errors import OutputError
from converter.core.records import Failure, Position
from converter.report import Report
from tests.container import inputs
from tests.support.samples import failed, outcome, pushed, save_checkpoint, verdict

Run = Callable[..., Any]

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


@pytest.fixture
def action(github: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """… inside a step of this action: GitHub passes all of its inputs, empty ones too."""
    for name in inputs.action()["inputs"]:
        monkeypatch.setenv(f"INPUT_{name.upper()}", "")
    return github


def commands(log: str) -> list[str]:
    """The commands that GitHub's runner finds in a log: none, but the one that ends it, from stop-commands on."""
    lines: list[str] = []
    end = None
    for line in log.splitlines():
        if end is not None:
            end = None if line == f"::{end}::" else end
        elif line.startswith("::stop-commands::"):
            end = line.removeprefix("::stop-commands::")
        elif line.startswith("::") and not line.startswith(f"::{actions._resume}"):
            lines.append(line)
    return lines


def test_outputs_and_the_summary_are_added_to_what_is_there(github: Path) -> None:
    report.write(REPORT, github / "out")
    write_results(REPORT, github / "out")
    before, *lines = (github / "output").read_text(encoding="utf-8").splitlines()
    values = dict(zip(OUTPUTS, (github / "out" / "report.json", github / "out", 1, 1, 1, 1, 0), strict=False))
    end = lines[2]
    assert before == "before"
    assert lines == [line for name, value in values.items() for line in (f"{name}<<{end}", str(value), end)]
    assert (github / "summary").read_text(encoding="utf-8") == "before\n" + (github / "out" / "report.md").read_text(encoding="utf-8")


def test_a_summary_is_cut_at_a_line_to_what_github_takes(github: Path) -> None:
    (github / "report.md").write_text("| zwölf |\n" * (SUMMARY_BYTES // 10), encoding="utf-8")
    write_results(REPORT, github)
    summary = (github / "summary").read_bytes().removeprefix(b"before\n")
    assert SUMMARY_BYTES - 20 < len(summary) <= SUMMARY_BYTES
    *kept, blank, last = summary.decode().splitlines()
    assert (set(kept), blank, last) == ({"| zwölf |"}, "", "The report is longer than a summary may be; report.md has all of it.")


def test_a_failure_is_an_annotation_at_its_line_whatever_its_words(github: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report.write(REPORT, github)
    write_results(REPORT, github)
    assert commands(capsys.readouterr().err)[1:] == [
        "::error file=my%2Cmodels.txt,line=3,col=5,title=./a%3Ab%2Cc to onnx::100%25 wrong:\\r\\nit is, alas. To do: look\\nelsewhere"
    ]


def test_a_push_that_failed_is_an_error_and_what_there_is_to_know_a_notice(github: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Position(file="models.txt", line=2, column=1)
    failure = Failure(stage="push", kind="PushError", message="it is not there", hint="look")
    batch = Report(
        outcomes=(), pushes=(pushed(position=place, status="failed", failure=failure), pushed(position=place, notes=("a note",)))
    )
    report.write(batch, github)
    write_results(batch, github)
    assert commands(capsys.readouterr().err) == [
        "::error file=models.txt,line=2,col=1,title=push to org/name::it is not there. To do: look",
        "::notice file=models.txt,line=2,col=1,title=push to org/name::a note",
    ]


def test_what_was_not_validated_is_a_warning_at_its_line(github: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Position(file="models.txt", line=2, column=1)
    kept = outcome(status="unvalidated", position=place, verdict=verdict(unvalidated="nothing runs it here"))
    report.write(Report(outcomes=(kept,)), github)
    write_results(Report(outcomes=(kept,)), github)
    assert commands(capsys.readouterr().err) == [
        "::warning file=models.txt,line=2,col=1,title=org/name to onnx::not validated: nothing runs it here"
    ]


def test_files_in_the_workspace_are_told_as_the_other_steps_know_them(
    github: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(github))
    batch = Report(outcomes=(failed(position=Position(file=str(github / "lists" / "models.txt"), line=3)),))
    report.write(batch, github / "out")
    write_results(batch, github / "out")
    assert "\nout/report.json\n" in (github / "output").read_text(encoding="utf-8")
    assert commands(capsys.readouterr().err)[0].startswith("::error file=lists/models.txt,line=3,col=1,")


def test_files_that_github_does_not_name_are_not_missed(github: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_OUTPUT")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    report.write(REPORT, github)
    write_results(REPORT, github)


def test_one_that_cannot_be_written_is_an_error_in_a_sentence(github: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(github))
    report.write(REPORT, github)
    with pytest.raises(OutputError, match=f"{github}"):
        write_results(REPORT, github)


def test_elsewhere_nothing_is_told(github: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    write_results(REPORT, github)
    assert capsys.readouterr() == ("", "")
    assert (github / "output").read_text(encoding="utf-8") == "before\n"


def test_the_token_is_masked_before_anything_else_is_said(
    github: Path, converter: Run, manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret\n")
    log = converter("plan", "--manifest", manifest("./nothing\n")).err
    assert log.startswith("::add-mask::hf_secret\n::stop-commands::")
    assert log.count("hf_secret") == 1


def test_no_line_of_anybody_elses_is_a_command_and_those_of_later_steps_are(
    github: Path, converter: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "models.txt"
    monkeypatch.setattr("converter.cli.plan.read_jobs", _raise("no:\n::warning::planted\n::stop-commands::mine\n::mine::"))
    log = converter("plan", "--manifest", path, "--debug").err  # with the traceback, whose last line is the message
    assert "\n::warning::planted\n" in log
    assert [command.split("::")[1].split(" ")[0] for command in commands(f"{log}::notice::later")] == ["error", "notice"]


def _raise(message: str) -> Callable[..., Any]:
    def jobs_of(*_: object, **__: object) -> Any:
        raise RuntimeError(message)

    return jobs_of


def test_what_is_wrong_with_a_manifest_is_told_at_each_line(github: Path, converter: Run, manifest: Callable[..., Path]) -> None:
    path = manifest("./a to=nowhere\n./b\n./c nonsense\n")
    result = converter("run", "--manifest", path)
    assert result.code == 2
    assert [command.partition("::")[2].rpartition("::") for command in commands(result.err)] == [
        (f"error file={path},line=1,col=5,title=manifest", "::", "unknown backend 'nowhere'; known: onnx, torchscript, neuron"),
        (f"error file={path},line=3,col=5,title=manifest", "::", "'nonsense' is not of the form key=value"),
        (
            "error title=converter",
            "::",
            "the manifest has 2 problems; nothing was started. To do: mend the lines named above and run again",
        ),
    ]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "Missing option '--manifest'. It is the input 'manifest' of the action."),
        ({"CONVERTER_MANIFEST": ""}, "It is the input 'manifest' of the action."),
        ({"CONVERTER_MANIFEST": "models.txt", "CONVERTER_JOBS": "many"}, "It is the input 'jobs' of the action."),
        ({"CONVERTER_MANIFEST": "models.txt", "CONVERTER_BACKENDS": "onnx,tensorrt"}, "unknown backend 'tensorrt'"),
        ({"CONVERTER_MANIFEST": "models.txt", "CONVERTER_LINES": "3-7"}, "'3-7' is not of the form 3,7."),
        ({"CONVERTER_MANIFEST": "no-such.txt"}, "the manifest no-such.txt cannot be read: No such file or directory"),
        ({"INPUT_MANIFST": "models.txt"}, "the action has no input 'manifst', did you mean 'manifest'?"),
        ({"INPUT_FAIL-FST": "true"}, "the action has no input 'fail-fst', did you mean 'fail-fast'?"),
        ({"INPUT_MATRIX": "4"}, "matrix is not an input of the command run"),
        ({"INPUT_OUTPUT": "../out"}, "the output ../out is outside the workspace, so no other step can read it"),
        (
            {"INPUT_OUTPUT": "/out", "INPUT_MANIFST": "models.txt"},
            "did you mean 'manifest'?; the output /out is outside the workspace",
        ),
    ],
    ids=lambda value: "-".join(value) or "nothing" if isinstance(value, dict) else "",
)
def test_an_input_that_is_missing_wrong_or_unknown_is_an_annotation_and_exit_code_2(
    action: Path, converter: Run, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = converter("run")
    assert result.code == 2
    (command,) = commands(result.err)
    assert command.startswith("::error title=converter::")
    assert message in command


def test_inputs_that_the_action_has_are_no_error(
    action: Path, converter: Run, manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(action / "ours")
    monkeypatch.setenv("INPUT_MATRIX", "2")
    result = converter("plan", "--manifest", manifest("./ours\n"), "--matrix", "2")
    assert (result.code, commands(result.err)) == (0, [])


def test_an_output_folder_that_is_a_link_out_of_the_workspace_is_refused(
    action: Path, converter: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (action / "workspace").mkdir()
    (action / "workspace" / "out").symlink_to(action)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(action / "workspace"))
    result = converter("run", "--manifest", "models.txt")
    assert (result.code, "the output out is outside the workspace" in result.err) == (2, True)


@pytest.mark.torch
def test_the_inputs_of_an_action_that_we_run_in_are_not_ours_to_judge(
    github: Path, converter: Run, manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(github / "ours")
    monkeypatch.setenv("INPUT_MANIFEST", "")
    monkeypatch.setenv("INPUT_THEIRS", "x")
    assert converter("plan", "--manifest", manifest("./ours\n")).code == 0


def test_an_output_folder_that_cannot_be_written_is_an_annotation(github: Path, converter: Run, manifest: Callable[..., Path]) -> None:
    (github / "out").write_text("a file", encoding="utf-8")
    result = converter("run", "--manifest", manifest("./ours\n"), "--output", github / "out" / "deeper")
    assert result.code == 1
    assert [command for command in commands(result.err) if str(github / "out") in command and command.startswith("::error title=")]


def test_the_lines_of_a_job_are_a_group_and_what_became_of_it_is_not_in_it(
    github: Path, converter: Run, manifest: Callable[..., Path], tmp_path: Path
) -> None:
    path = manifest("./nothing\n./neither\n")
    result = converter("run", "--manifest", path, "--output", tmp_path / "out")
    grouped = [line for line in result.err.splitlines() if not line.startswith(("::resume", "::stop"))]
    assert result.out == ""  # GitHub reads the two streams out of step
    assert grouped[:8] == [
        "##[group][1/2] ./nothing → onnx",
        "[1/2] ./nothing → onnx: resolve",
        "##[endgroup]",
        "✗ ./nothing → onnx: failed at stage resolve",
        "##[group][2/2] ./neither → onnx",
        "[2/2] ./neither → onnx: resolve",
        "##[endgroup]",
        "✗ ./neither → onnx: failed at stage resolve",
    ]
    assert grouped[-1] == f"0 converted, 0 unchanged, 2 failed; report: {tmp_path / 'out' / 'report.json'}"


def test_no_name_of_a_manifest_gives_a_command(github: Path, converter: Run, manifest: Callable[..., Path]) -> None:
    result = converter("plan", "--manifest", manifest('models: ["./a\\n::error::planted"]', "models.yaml"))
    assert (result.code, result.out) == (2, "")
    assert "planted" in result.err and "\n::error::planted" not in result.err
    command = commands(result.err)[0]
    assert command.startswith(f"::error file={github / 'models.yaml'},line=1,col=10,title=manifest::")


def test_what_cannot_be_planned_is_annotated(github: Path, converter: Run, manifest: Callable[..., Path]) -> None:
    path = manifest("./nothing\n")
    (command,) = commands(converter("plan", "--manifest", path).err)
    assert command.startswith(f"::error file={path},line=1,col=1,title=./nothing to onnx::no folder")


def test_outside_of_github_there_is_no_command(converter: Run, manifest: Callable[..., Path], tmp_path: Path) -> None:
    assert os.environ.get("GITHUB_ACTIONS") != "true"
    result = converter("run", "--manifest", manifest("./nothing\n"), "--output", tmp_path / "out")
    assert not [mark for mark in ("::", "##[") if mark in result.out + result.err]
