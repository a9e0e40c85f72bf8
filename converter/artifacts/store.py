"""What is done already, known by content: the record beside an artifact tells what it was made from, and with what."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import ValidationError as InvalidRecord

import converter
from converter.backends import Backend
from converter.checkpoints.policy import PICKLED_INDEX, PICKLED_WEIGHTS, WEIGHTS, WEIGHTS_INDEX
from converter.core.files import describe, is_unchanged, read_at_most
from converter.core.records import USERS_FILES, ArtifactRecord, Checkpoint, FileRecord, Options

RECORD = "converter.json"
LOG = "converter.log"
RECORD_LIMIT = 16 * 2**20
"""Bytes of the largest record that is read; one of a validation of many cases has 50 kB."""


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """The versions of the distributions that shape an artifact, of those that are installed, and our own."""
    versions = {"converter": converter.__version__}
    for package in packages:
        with suppress(PackageNotFoundError):  # an SDK that is not here shapes nothing
            versions[package] = _version(package, tuple(sys.path))
    return versions


@functools.cache
def _version(package: str, _: tuple[str, ...]) -> str:
    """It takes a millisecond and more to find on a path, and a batch asks for each of its jobs."""
    return version(package)


def cache_key(checkpoint: Checkpoint, backend: str, options: Options, versions: Mapping[str, str]) -> str:
    """The sha256 of all that decides what a job's artifact is: equal keys, equal artifacts."""
    chosen = options.model_dump(mode="json", exclude=set(USERS_FILES))  # these count by their contents, among the versions
    facts = {"source": checkpoint.contents or checkpoint.identity, "backend": backend, "options": chosen, "versions": dict(versions)}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_record(folder: Path) -> ArtifactRecord | None:
    """The record in an artifact's folder; None where there is none that this version can read."""
    try:
        return ArtifactRecord.model_validate_json(read_at_most(folder / RECORD, RECORD_LIMIT))
    except (OSError, InvalidRecord):
        return None


def find_up_to_date(folder: Path, model_folder: Path | None, key: str) -> ArtifactRecord | None:
    """The record of an artifact in `folder` that was made with `key` and whose files, and its model's, are still what they were."""
    record = read_record(folder)
    if record is None or record.key != key or damaged_files(folder, record.needed, trust_mtime=True):
        return None
    if model_folder and damaged_files(model_folder, record.sidecars, trust_mtime=True):
        return None
    return record


def record_problems(folder: Path, backend: Backend) -> tuple[str, ...]:
    """What is wrong with the record of an artifact in `folder`, a clause each; where there is no record, nothing is."""
    if not (folder / RECORD).exists():
        return ()
    record = read_record(folder)
    if record is None:
        return (f"its {RECORD} is not a record that this version can read",)
    if record.backend != backend.name or not backend.main_file_of({file.path for file in record.files}):
        return (f"its {RECORD} is the record of something else",)
    return (*_damage(folder, record.needed, ""), *_damage(folder.parent, record.sidecars, "../"))


def _damage(folder: Path, files: Sequence[FileRecord], prefix: str) -> Iterator[str]:
    """What is wrong with recorded `files` of a folder, a clause each."""
    for name in damaged_files(folder, files, trust_mtime=False):
        if (folder / name).exists():
            yield f"{prefix}{name} is not the file that was validated: its sha256 is not the record's"
        else:
            yield f"{prefix}{name} is missing, and the record names it"


def stray_files(folder: Path, backend: Backend, measured: Collection[str], record: ArtifactRecord | None) -> Iterator[str]:
    """The files in an artifact's folder that clients load and that were not `measured`, and tensors that its `record` does not name.

    Folders in it are looked into, but not those of other artifacts, and none if the folder holds a checkpoint too.
    """
    named = {file.path for file in record.needed} if record else None
    holds_checkpoint = holds_weights(folder)
    pending = [folder]
    while pending:
        place = pending.pop()
        for path in sorted(place.iterdir()):
            name = path.relative_to(folder).as_posix()
            if path.is_dir():
                own = path.name.startswith(".") or (path / RECORD).exists() or holds_checkpoint or path.is_symlink()
                pending += [] if own else [path]
            elif backend.is_client_file(path):
                if name not in measured:
                    yield name
            elif named is not None and name not in named and any(fnmatch(path.name, pattern) for pattern in backend.data_files):
                yield name


def holds_weights(folder: Path) -> bool:
    """Whether a folder has a checkpoint's weights in it."""
    return any((folder / name).exists() for name in (WEIGHTS, WEIGHTS_INDEX, PICKLED_WEIGHTS, PICKLED_INDEX))


def damaged_files(folder: Path, files: Iterable[FileRecord], trust_mtime: bool) -> list[str]:
    """The paths of `files` that are missing or changed.

    With `trust_mtime` a file of the recorded size and time of modification is taken as it is, and any other is hashed.
    """
    return [file.path for file in files if not is_unchanged(folder / file.path, file, trust_mtime=trust_mtime)]


def describe_files(folder: Path, names: Iterable[str] | None = None) -> tuple[FileRecord, ...]:
    """The files `names` in `folder` as they are now; None is every file but the record and the log."""
    if names is None:
        paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        names = (path for path in paths if path not in (RECORD, LOG))
    return tuple(describe(folder, name) for name in sorted(names))
