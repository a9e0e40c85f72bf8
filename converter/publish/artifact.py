"""An artifact to push: validated, and unchanged since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from converter import hub
from converter.artifacts.integrity import damaged_files
from converter.artifacts.record_file import RECORD, read_record
from converter.backends import BACKENDS
from converter.checkpoints.policy import is_sidecar
from converter.core.errors import PushError
from converter.core.records import USERS_FILES, ArtifactRecord, FileRecord


@dataclass(frozen=True)
class Artifact:
    """The folder of an artifact, and its record."""

    folder: Path
    record: ArtifactRecord

    @property
    def backend(self) -> str:
        return self.record.backend

    @property
    def published(self) -> ArtifactRecord:
        """Its record as others may see it: nothing of this machine, and nothing that differs when it is made again."""
        record = self.record
        name = record.source.model if record.source.repository else Path(record.source.model).name
        source = record.source.model_copy(update={"model": name, "files": ()})
        options = {name: Path(str(value)).name if name in USERS_FILES and value else value for name, value in record.options.items()}
        files, sidecars = (tuple(file.model_copy(update={"mtime_ns": 0}) for file in group) for group in (record.needed, record.sidecars))
        changes = {"source": source, "options": options, "files": files, "shared_files": (), "sidecars": sidecars, "stages": ()}
        return record.model_copy(update=changes)

    def additions(self) -> Iterator[hub.Addition]:
        """All its files with their places in a repository, shared files and generated sidecars included."""
        for file in self.record.needed:
            yield hub.Addition(str(PurePosixPath(self.backend, file.path)), self.folder / file.path, file.sha256)
        yield from self._beside(file for file in self.record.sidecars if file.path in BACKENDS[self.backend].files.sidecars)

    def sidecars(self) -> Iterator[hub.Addition]:
        """Config and tokenizer files: those beside it, otherwise its checkpoint's at the commit that it was made from."""
        source = self.record.source
        if self.record.sidecars:
            yield from self._beside(file for file in self.record.sidecars if file.path not in BACKENDS[self.backend].files.sidecars)
        elif source.repository and source.commit:
            listing = hub.look(source.repository, source.commit, PushError)
            digests = {name: file.digest for name, file in listing.files.items() if is_sidecar(name)}
            folder = hub.download(source.repository, source.commit, digests)
            for name in digests:
                content = (folder / name).read_bytes()
                yield hub.Addition(name, content, hashlib.sha256(content).hexdigest())

    def _beside(self, files: Iterable[FileRecord]) -> Iterator[hub.Addition]:
        for file in files:
            yield hub.Addition(str(PurePosixPath(file.path)), self.folder.parent / file.path, file.sha256)


def read_artifact(folder: Path) -> Artifact:
    """The artifact in `folder`. Raises PushError if it cannot be pushed."""
    record = read_record(folder)
    files = {file.path for file in record.files} if record else set()
    if record is None or record.backend not in BACKENDS or not BACKENDS[record.backend].files.main_of(files):
        raise PushError(
            f"there is no {RECORD} of an artifact in {folder} that this version can read",
            "convert again; only validated artifacts are pushed",
        )
    if record.verdict.unvalidated:
        raise PushError(
            f"{folder} was not validated: {record.verdict.unvalidated}",
            "convert it on a machine that can run it; only validated artifacts are pushed",
        )
    if not record.verdict.passed:
        raise PushError(f"{folder} has not passed its validation: {record.verdict.first_problem}", "convert it again")
    misplaced = [file.path for file in record.sidecars if not is_sidecar(file.path)]
    changed = [*damaged_files(folder, record.needed, trust_mtime=True), *damaged_files(folder.parent, record.sidecars, trust_mtime=True)]
    if changed or misplaced:
        raise PushError(
            f"{(changed or misplaced)[0]} of {folder} is not the file that was validated",
            "convert again; only validated artifacts are pushed",
        )
    return Artifact(folder, record)


def same_model(one: ArtifactRecord, other: ArtifactRecord) -> bool:
    """Whether two artifacts were made from the same model, whichever its commit."""
    return (one.source.repository or one.source.model) == (other.source.repository or other.source.model)


def same_artifact(one: ArtifactRecord, other: ArtifactRecord) -> bool:
    """Whether two records are of the same files, made of the same."""
    return one.key == other.key and _contents(one) == _contents(other)


def _contents(record: ArtifactRecord) -> Mapping[str, str]:
    return {file.path: file.sha256 for file in record.needed}
