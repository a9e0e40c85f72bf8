"""The base of all records, a place in a manifest, and a file."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from converter.core.text import printable

Count = Annotated[int, Field(ge=0, lt=2**63)]
"""A count in a record that anybody may have written; bounded, because Python's integers have no limit and floats have."""
Text = Annotated[str, AfterValidator(printable)]
"""Text for people from any author: one line, without terminal controls."""


class Record(BaseModel):
    """A frozen record, checked when created and when read. Infinite errors survive the round trip."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True)


class Position(Record):
    """A place in a manifest; line and column count from 1."""

    file: str
    line: Count
    column: Count = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


def inside(path: str) -> str:
    """Return a path inside its folder; refuse others, because a record may come from anywhere."""
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in path:
        raise ValueError("a file of an artifact has to be inside its folder")
    return path


class FileRecord(Record):
    """A file: its path inside its folder, size in bytes, sha256, and time of modification.

    `mtime_ns` counts from the epoch. It only saves hashing an untouched file; the sha256 decides.
    """

    path: str
    size: Count
    mtime_ns: Annotated[int, Field(ge=-(2**63), lt=2**63)]
    sha256: str

    @field_validator("path")
    @classmethod
    def _lies_inside(cls, path: str) -> str:
        """Refuse a path outside the folder, because recorded files may be deleted for a successor."""
        return inside(path)
