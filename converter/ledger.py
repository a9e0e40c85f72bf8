"""What is done already, known by content: the record beside an artifact tells what it was made from, and with what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError as InvalidRecord

import converter
from converter.records import ArtifactRecord, Checkpoint, FileRecord, Options

RECORD = "converter.json"


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """The installed versions of the distributions that shape an artifact, our own among them."""
    return {"converter": converter.__version__} | {package: version(package) for package in packages}


def job_key(checkpoint: Checkpoint, backend: str, options: Options, versions: Mapping[str, str]) -> str:
    """The sha256 of all that decides what a job's artifact is: equal keys, equal artifacts."""
    facts = {"source": checkpoint.identity, "backend": backend, "options": options.model_dump(mode="json"), "versions": dict(versions)}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_record(folder: Path) -> ArtifactRecord | None:
    """The record in an artifact's folder; None where there is none that this version can read."""
    try:
        return ArtifactRecord.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, InvalidRecord):
        return None


def find_done(folder: Path, key: str) -> ArtifactRecord | None:
    """The record of an artifact in `folder` that was made with `key` and whose files are still what they were."""
    record = read_record(folder)
    if record is None or record.key != key or damaged_files(folder, record.files, newer_than=(folder / RECORD).stat().st_mtime_ns):
        return None
    return record


def damaged_files(folder: Path, files: Iterable[FileRecord], newer_than: int = -1) -> list[str]:
    """The paths of `files` that are missing or changed.

    A file of the right size that was last written before `newer_than` (nanoseconds since the epoch) is taken as it is;
    the record is written last, so whatever was changed later is newer than it, and is hashed.
    """
    return [file.path for file in files if not _unchanged(folder / file.path, file, newer_than)]


def describe_files(folder: Path) -> tuple[FileRecord, ...]:
    """Size and sha256 of every file in `folder`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
    return tuple(FileRecord(path=path.relative_to(folder).as_posix(), size=path.stat().st_size, sha256=_sha256(path)) for path in paths)


def _unchanged(path: Path, file: FileRecord, newer_than: int) -> bool:
    try:
        status = path.stat()
        return status.st_size == file.size and (status.st_mtime_ns <= newer_than or _sha256(path) == file.sha256)
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
