"""A missing or changed file is noticed."""

from __future__ import annotations

import json
import os
from pathlib import Path

from converter.artifacts.integrity import damaged_files, describe_files
from converter.artifacts.record_file import RECORD, read_record
from converter.artifacts.store import find_up_to_date
from tests.support.artifact_folders import KEY


def test_a_second_look_at_every_file_does_not_trust_the_time(artifact: Path) -> None:
    record = read_record(artifact)
    assert record is not None
    (artifact / "model.onnx").write_bytes(b"grapH")
    os.utime(artifact / "model.onnx", ns=(10**18, 10**18))
    assert damaged_files(artifact, record.files, trust_mtime=False) == ["model.onnx"]


def test_the_description_is_of_every_file_but_the_record(artifact: Path) -> None:
    (artifact / "deeper").mkdir()
    (artifact / "deeper" / "x").touch()
    files = {file.path: file for file in describe_files(artifact)}
    assert list(files) == ["deeper/x", "model.onnx", "model.onnx_data"]
    assert files["deeper/x"].sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert files["model.onnx"].size == 5


def test_a_pipe_in_the_place_of_a_file_is_not_done_and_not_waited_for(artifact: Path) -> None:
    path = artifact / "model.onnx"
    path.unlink()
    os.mkfifo(path)
    record = json.loads((artifact / RECORD).read_text(encoding="utf-8"))
    record["files"][0] |= {"size": 0, "mtime_ns": path.stat().st_mtime_ns}
    (artifact / RECORD).write_text(json.dumps(record), encoding="utf-8")
    assert find_up_to_date(artifact, None, KEY) is None
    read = read_record(artifact)
    assert read and damaged_files(artifact, read.files, trust_mtime=False) == ["model.onnx"]
