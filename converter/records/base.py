"""What every record is, where in a manifest it is about, and a file that it speaks of."""

from __future__ import annotations

from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict, field_validator


class Record(BaseModel):
    """A frozen record: checked when it is made and when it is read back. Infinite errors survive the round trip."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True)


class Position(Record):
    """A place in a manifest; line and column count from 1."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


def inside(path: str) -> str:
    """Give back a path that stays in its folder: a record may come from anywhere."""
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in path:
        raise ValueError("a file of an artifact lies inside its folder")
    return path


class FileRecord(Record):
    """A file: its path inside the folder it belongs to, its size in bytes, its sha256, and when it was last written.

    `mtime_ns` counts from the epoch. It only spares the hashing of a file that nobody has touched; the sha256 decides.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str

    @field_validator("path")
    @classmethod
    def _lies_inside(cls, path: str) -> str:
        """What a record names may be deleted for its successor."""
        return inside(path)
