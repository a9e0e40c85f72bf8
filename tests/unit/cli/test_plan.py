"""`converter plan`: the list of jobs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converter.artifacts.integrity import describe_files
from converter.artifacts.record_file import RECORD
from tests.support.samples import artifact_record, save_checkpoint

Run = Callable[..., Any]


@pytest.mark.torch
def test_the_plan_says_what_would_be_converted_and_what_cannot(converter: Run, manifest: Callable[..., Path], tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "ours")
    path = manifest("./ours feature=fill-mask\n./nothing\n./ours output=again feature=causal-lm-with-past\n")
    result = converter("plan", "--manifest", path, "--output", tmp_path / "out", "--json")
    assert result.code == 1
    first, second, third = json.loads(result.out)
    assert (first["action"], first["feature"], first["destination"]) == ("convert", "masked-lm", str(tmp_path / "out/ours/onnx"))
    assert first["weight_bytes"] == (folder / "model.safetensors").stat().st_size
    assert (second["action"], third["action"]) == ("cannot", "cannot")
    assert f"{path}:2:1: ./nothing: no folder" in result.err
    assert f"{path}:3:1: ./ours: BERT (model type bert) has no feature" in result.err
    assert not (tmp_path / "out").exists()


@pytest.mark.torch
def test_what_is_done_already_would_not_be_done_again(
    converter: Run, manifest: Callable[..., Path], tmp_path: Path, monkeypatch: Any
) -> None:
    save_checkpoint(tmp_path / "ours")
    done = tmp_path / "out" / "ours" / "onnx"
    done.mkdir(parents=True)
    (done / "model.onnx").write_bytes(b"graph")
    (done / RECORD).write_text(artifact_record(*describe_files(done), key="the key").model_dump_json(), encoding="utf-8")
    monkeypatch.setattr("converter.pipeline.cache_key", lambda *_: "the key")
    result = converter("plan", "--manifest", manifest("./ours\n"), "--output", tmp_path / "out")
    assert result.code == 0
    assert result.out.splitlines()[-1] == "0 to convert with 0 B of weights, 1 unchanged"
