"""Only regular files are opened, and none is read beyond the limit."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from converter.core.files import describe, is_unchanged, open_regular, read_at_most, write_whole
from converter.core.records import FileRecord
from tests.support.foreign import FOREIGN, put_foreign, state


@pytest.fixture(params=["pipe", "socket", "device", "folder", "loop", "nowhere", "nothing"])
def irregular(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Files of other kinds; opening a pipe waits for a writer forever."""
    path = tmp_path / "file"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    elif request.param == "folder":
        path.mkdir()
    elif request.param != "nothing":
        path.symlink_to({"device": "/dev/zero", "loop": path, "nowhere": tmp_path / "gone"}[request.param])
    return path


def test_what_is_no_regular_file_is_not_opened(irregular: Path) -> None:
    for read in (lambda: open_regular(irregular), lambda: read_at_most(irregular, 10), lambda: describe(irregular.parent, irregular.name)):
        with pytest.raises(OSError, match=r"."):
            read()


def test_what_is_no_regular_file_is_never_the_one_that_was_described(irregular: Path) -> None:
    status = irregular.stat() if irregular.exists() else irregular.parent.stat()
    record = FileRecord(path="file", size=status.st_size, mtime_ns=status.st_mtime_ns, sha256="")
    assert not is_unchanged(irregular, record, trust_mtime=True)


def test_a_link_to_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_at_most(tmp_path / "link", 3) == b"abc"


def test_a_file_of_more_bytes_than_are_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    with pytest.raises(OSError, match="it has more than"):
        read_at_most(tmp_path / "file", 2)
    os.truncate(tmp_path / "file", 2**40)  # a terabyte of nothing
    with pytest.raises(OSError, match="it has more than 1 MB"):
        read_at_most(tmp_path / "file", 2**20)


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_is_written_whole_beside_whatever_has_the_name_of_a_temporary_one(kind: str, tmp_path: Path) -> None:
    put_foreign(tmp_path / ".converter-report.json", kind)
    before = state(tmp_path)
    write_whole(tmp_path / "report.json", b"{}")
    assert state(tmp_path) == {**before, "report.json": "file {}"}


def test_what_a_killed_process_had_written_of_a_file_goes_with_the_next(tmp_path: Path) -> None:
    (tmp_path / ".converter-report.json-0123abcd").write_bytes(b"{")
    write_whole(tmp_path / "report.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
