"""The files of an artifact go to a repository, and details of this machine do not."""

from __future__ import annotations

from pathlib import Path

from converter.core.records import FileRecord
from converter.publish.artifact import Artifact
from tests.support.samples import artifact_record


def file(path: str) -> FileRecord:
    return FileRecord(path=path, size=1, mtime_ns=5, sha256="0" * 64)


def test_what_was_made_for_clients_goes_with_the_artifact_wherever_it_goes(tmp_path: Path) -> None:
    record = artifact_record(file("model.onnx"), sidecars=(file("config.json"), file("genai_config.json")))
    artifact = Artifact(tmp_path / "onnx", record)
    assert [(addition.path, addition.content) for addition in artifact.additions()] == [
        ("onnx/model.onnx", tmp_path / "onnx/model.onnx"),
        ("genai_config.json", tmp_path / "genai_config.json"),
    ]
    assert [sidecar.path for sidecar in artifact.sidecars()] == ["config.json"]


def test_files_of_this_machine_are_published_by_their_names_alone(tmp_path: Path) -> None:
    options = {"config": "/home/me/mine.py:Mine", "text": "/home/me/ours.txt", "evaluate": "/home/me/metric.py:recall", "tier": "any"}
    published = Artifact(tmp_path, artifact_record(file("model.onnx"), options=options)).published
    assert published.options == {"config": "mine.py:Mine", "text": "ours.txt", "evaluate": "metric.py:recall", "tier": "any"}
    assert published.files[0].mtime_ns == 0
