"""`converter plan --matrix`, `run --lines` and `converter report --merge`: a batch over several machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.samples import save_checkpoint

Run = Callable[..., Any]


@pytest.fixture
def models(manifest: Callable[..., Path], tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "ours")
    return manifest("./ours\n./a\n# a comment\n./ours output=again to=onnx,torchscript\n./b\n")


@pytest.mark.torch
def test_the_matrix_is_one_line_of_json_with_every_line_of_the_manifest(converter: Run, models: Path, tmp_path: Path) -> None:
    result = converter("plan", "--manifest", models, "--matrix", "2")
    assert result.code == 0
    assert result.out.count("\n") == 1
    include = json.loads(result.out)["include"]
    assert [shard["shard"] for shard in include] == [1, 2]
    assert sorted(int(line) for part in include for line in part["lines"].split(",")) == [1, 2, 4, 5]
    assert f"note: {models}:2:1: ./a will fail: no folder" in result.err


def test_the_matrix_is_an_output_of_the_step(converter: Run, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    result = converter("plan", "--manifest", models, "--matrix", "9")
    name, value, _ = (tmp_path / "outputs").read_text(encoding="utf-8").splitlines()
    assert name.startswith("matrix<<")
    assert value + "\n" == result.out


@pytest.mark.parametrize("matrix", ["0", "257", "x"])
def test_a_matrix_that_github_does_not_take_is_an_error(converter: Run, models: Path, matrix: str) -> None:
    assert converter("plan", "--manifest", models, "--matrix", matrix).code == 2


def test_the_parts_reports_become_one_that_lacks_nothing(
    converter: Run, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, lines in enumerate(("2", "5"), 1):
        converter("run", "--manifest", models, "--output", tmp_path / f"parts/{number}", "--lines", lines)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    monkeypatch.setenv("CONVERTER_MERGE", str(tmp_path / "parts"))
    result = converter("report", "--manifest", models, "--output", tmp_path / "out")
    assert result.code == 1
    outcomes = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["outcomes"]
    assert [(outcome["position"]["line"], outcome["backend"], outcome["failure"]["kind"]) for outcome in outcomes] == [
        (1, "onnx", "LostPart"),
        (2, "onnx", "CheckpointError"),
        (4, "onnx", "LostPart"),
        (4, "torchscript", "LostPart"),
        (5, "onnx", "CheckpointError"),
    ]
    assert f"error: {models}:1:1: ./ours: no shard's report tells of it" in result.err
    assert "failed<<" in (tmp_path / "outputs").read_text(encoding="utf-8")
    assert f"0 converted, 0 unchanged, 5 failed; report: {tmp_path / 'out' / 'report.json'}\n" in result.err


def test_a_folder_that_is_not_there_is_an_error(converter: Run, models: Path, tmp_path: Path) -> None:
    assert converter("report", "--manifest", models, "--merge", tmp_path / "parts").code == 2
