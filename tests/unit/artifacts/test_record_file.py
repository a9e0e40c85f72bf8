"""A record that this version cannot read is none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from converter.artifacts.record_file import RECORD, read_record
from converter.artifacts.store import find_up_to_date
from tests.support.artifact_folders import KEY


@pytest.mark.parametrize("text", ["", "{}", "[]", "{", '{"format": 1}', "\ufeff{}"])
def test_a_record_that_cannot_be_read_is_none(artifact: Path, text: str) -> None:
    (artifact / RECORD).write_text(text, encoding="utf-8")
    assert read_record(artifact) is None
    assert find_up_to_date(artifact, None, KEY) is None


def test_no_record_no_folder_and_a_folder_for_a_record_are_none(tmp_path: Path) -> None:
    (tmp_path / "x" / RECORD).mkdir(parents=True)
    assert [read_record(folder) for folder in (tmp_path, tmp_path / "nothing", tmp_path / "x")] == [None] * 3


@pytest.mark.parametrize("path", ["../victim", "/etc/victim", "a/../../victim", "", ".", "a\0b"])
def test_a_record_that_speaks_of_files_elsewhere_is_none(artifact: Path, path: str) -> None:
    record = artifact / RECORD
    record.write_text(record.read_text(encoding="utf-8").replace('"model.onnx"', f'"{path}"'.replace("\0", "\\u0000")), encoding="utf-8")
    assert read_record(artifact) is None


def test_a_record_that_is_a_pipe_or_without_end_is_none(artifact: Path) -> None:
    (artifact / RECORD).unlink()
    os.mkfifo(artifact / RECORD)
    assert read_record(artifact) is None
    (artifact / RECORD).unlink()
    (artifact / RECORD).symlink_to("/dev/zero")
    assert read_record(artifact) is None


@pytest.mark.parametrize("field", ["size", "mtime_ns"])
def test_a_record_of_files_larger_than_any_is_none(artifact: Path, field: str) -> None:
    """Its size was an OverflowError, where it was told."""
    record = json.loads((artifact / RECORD).read_text(encoding="utf-8"))
    record["files"][0][field] = 10**400
    (artifact / RECORD).write_text(json.dumps(record), encoding="utf-8")
    assert read_record(artifact) is None
