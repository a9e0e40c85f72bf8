"""The record in an artifact's folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError as InvalidRecord

from converter.core.files import read_at_most
from converter.core.records import ArtifactRecord

RECORD = "converter.json"
RECORD_LIMIT = 16 * 2**20
"""Bytes of the largest record that is read. A record of many cases has 50 kB."""


def read_record(folder: Path) -> ArtifactRecord | None:
    """Return the record in `folder`; None if there is none that this version can read."""
    try:
        return ArtifactRecord.model_validate_json(read_at_most(folder / RECORD, RECORD_LIMIT))
    except (OSError, InvalidRecord):
        return None
