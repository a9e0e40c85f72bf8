"""A record is frozen, and holds what it says it holds."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from converter.core.records import Comparison, FileRecord, Position
from tests.support.samples import comparison, verdict


def test_a_record_is_frozen_and_has_no_other_fields() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(verdict(), "atol", 1.0)  # noqa: B010 - mypy knows that it is frozen too
    with pytest.raises(ValidationError, match="Extra inputs"):
        Comparison.model_validate({**comparison().model_dump(), "extra": 1})


def test_a_position_reads_as_editors_write_it() -> None:
    assert str(Position(file="models.txt", line=3)) == "models.txt:3:1"


@pytest.mark.parametrize("size", [-1, 2**63, 10**400])
def test_a_size_that_no_file_has_is_no_record(size: int) -> None:
    with pytest.raises(ValidationError):
        FileRecord(path="a", size=size, mtime_ns=0, sha256="")
