"""Artifacts of small text files, their key, and the files below a folder."""

from __future__ import annotations

from pathlib import Path

from converter.artifacts.installation import install
from converter.artifacts.integrity import describe_files
from converter.artifacts.record_file import RECORD
from converter.artifacts.staging import staging_folder
from converter.artifacts.store import cache_key
from converter.backends.onnx.options import OnnxOptions
from converter.core.records import Checkpoint, Source
from tests.support.samples import artifact_record

CHECKPOINT = Checkpoint(source=Source(name="org/a"), identity="commit:1", config={}, files={})
VERSIONS = {"converter": "1", "torch": "2"}
KEY = cache_key(CHECKPOINT, "onnx", OnnxOptions(), VERSIONS)
"""The key of an artifact of `CHECKPOINT`."""


def put(destination: Path, key: str, **files: str) -> None:
    """Stage `files` (their names with __ for a dot) and install them."""
    with staging_folder(destination) as staged:
        for name, text in files.items():
            (staged / name.replace("__", ".")).write_text(text, encoding="utf-8")
        install(staged, artifact_record(*describe_files(staged), key=key), destination)


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder but the record, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != RECORD
    }
