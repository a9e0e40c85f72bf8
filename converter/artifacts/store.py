"""The artifact store: an artifact is up to date if its record has the job's cache key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from converter.artifacts.integrity import damaged_files
from converter.artifacts.record_file import read_record
from converter.core.records import USERS_FILES, ArtifactRecord, Checkpoint, Options


def cache_key(checkpoint: Checkpoint, backend: str, options: Options, versions: Mapping[str, str]) -> str:
    """Return the sha256 of all that shapes a job's artifact: equal keys, equal artifacts."""
    chosen = options.model_dump(mode="json", exclude=set(USERS_FILES))  # these count by their contents, among the versions
    facts = {"source": checkpoint.contents or checkpoint.identity, "backend": backend, "options": chosen, "versions": dict(versions)}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def find_up_to_date(folder: Path, model_folder: Path | None, key: str) -> ArtifactRecord | None:
    """Return the record of the artifact in `folder` if it has `key`, and neither its files nor its model's changed."""
    record = read_record(folder)
    if record is None or record.key != key or damaged_files(folder, record.needed, trust_mtime=True):
        return None
    if model_folder and damaged_files(model_folder, record.sidecars, trust_mtime=True):
        return None
    return record
