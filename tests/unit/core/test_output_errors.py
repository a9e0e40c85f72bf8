"""Errors of an output folder name the folder and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter.core.errors import OutputError
from converter.core.output_errors import check_writable


def test_a_folder_that_cannot_be_written_is_told_before_the_work_and_one_that_can_is_left_empty(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a file is in the place of a folder"):
        check_writable(tmp_path / "file" / "out")
    check_writable(tmp_path / "deep" / "out")
    assert list((tmp_path / "deep" / "out").iterdir()) == []
