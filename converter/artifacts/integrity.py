"""Compare the files of an artifact with its record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from converter.artifacts.job_log import LOG
from converter.artifacts.record_file import RECORD, read_record
from converter.backends import Backend
from converter.core.files import describe, is_unchanged
from converter.core.records import FileRecord


def describe_files(folder: Path, names: Iterable[str] | None = None) -> tuple[FileRecord, ...]:
    """Describe the files `names` in `folder`; None is every file but the record and the log."""
    if names is None:
        paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        names = (path for path in paths if path not in (RECORD, LOG))
    return tuple(describe(folder, name) for name in sorted(names))


def damaged_files(folder: Path, files: Iterable[FileRecord], trust_mtime: bool) -> list[str]:
    """Return the paths of `files` that are missing or changed.

    With `trust_mtime`, a file is not hashed if its size and time of modification are the recorded ones.
    """
    return [file.path for file in files if not is_unchanged(folder / file.path, file, trust_mtime=trust_mtime)]


def record_problems(folder: Path, backend: Backend) -> tuple[str, ...]:
    """Return the problems of an artifact's record, a clause for one problem; none without a record."""
    if not (folder / RECORD).exists():
        return ()
    record = read_record(folder)
    if record is None:
        return (f"its {RECORD} is not a record that this version can read",)
    if record.backend != backend.name or not backend.files.main_of({file.path for file in record.files}):
        return (f"its {RECORD} is the record of something else",)
    return (*_damage(folder, record.needed, ""), *_damage(folder.parent, record.sidecars, "../"))


def _damage(folder: Path, files: Sequence[FileRecord], prefix: str) -> Iterator[str]:
    """Return the problems of recorded `files`, a clause for one problem."""
    for name in damaged_files(folder, files, trust_mtime=False):
        if (folder / name).exists():
            yield f"{prefix}{name} is not the file that was validated: its sha256 is not the record's"
        else:
            yield f"{prefix}{name} is missing, and the record names it"
