"""An artifact's record is the same when it is read back, and names files in its folder only."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from converter.core.records import ArtifactRecord, Bucket, Failure, FileRecord
from tests.support.samples import artifact_record


def test_an_artifacts_record_is_the_same_when_it_is_read_back() -> None:
    record = artifact_record(FileRecord(path="deep/model.onnx", size=3, mtime_ns=0, sha256="0" * 64))
    assert ArtifactRecord.model_validate_json(record.model_dump_json()) == record
    assert record.size == 3


@pytest.mark.parametrize("path", ["", ".", "/a", "../a", "a/../b", "a\0"])
def test_a_file_of_an_artifact_lies_inside_it(path: str) -> None:
    with pytest.raises(ValidationError, match="has to be inside its folder"):
        Bucket(file=path, fixed={"sequence": 8})
    with pytest.raises(ValidationError):
        FileRecord(path=path, size=0, mtime_ns=0, sha256="0" * 64)


def test_what_a_record_tells_people_no_terminal_obeys() -> None:
    read = Failure.model_validate_json('{"stage": "a\\u001b[2J", "kind": "b", "message": "c\\n\\u202ed", "hint": "\\u0007"}')
    assert (read.stage, read.message, read.hint) == ("a\\x1b[2J", "c\\n\\u202ed", "\\x07")
