"""What every record is, where in a manifest it is about, and a file that it speaks of."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from converter.core.text import printable

Count = Annotated[int, Field(ge=0, lt=2**63)]
"""What is counted and may come from a record that anybody wrote: Python's own numbers have no end, and a float has."""
Text = Annotated[str, AfterValidator(printable)]
"""What is shown to people, whoever wrote it: on one line, and nothing that a terminal obeys."""


class Record(BaseModel):
    """A frozen record: checked when it is made and when it is read back. Infinite errors survive the round trip."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True)


class Position(Record):
    """A place in a manifest; line and column count from 1."""

    file: str
    line: Count
    column: Count = 1

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
    size: Count
    mtime_ns: Annotated[int, Field(ge=-(2**63), lt=2**63)]
    sha256: str

    @field_validator("path")
    @classmethod
    def _lies_inside(cls, path: str) -> str:
        """What a record names may be deleted for its successor."""
        return inside(path)
