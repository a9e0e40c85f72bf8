"""An artifact with a record."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from converter.artifacts.integrity import describe_files
from converter.artifacts.record_file import RECORD
from tests.support.artifact_folders import KEY
from tests.support.samples import artifact_record


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """An artifact of two files, written before its record."""
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (tmp_path / "model.onnx_data").write_bytes(b"weights")
    for file in describe_files(tmp_path):
        os.utime(tmp_path / file.path, ns=(10**18, 10**18))
    (tmp_path / RECORD).write_text(artifact_record(*describe_files(tmp_path), key=KEY).model_dump_json(), encoding="utf-8")
    return tmp_path
