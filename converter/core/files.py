"""Describe a file, compare it later, and write it atomically. Only regular files are opened."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

from converter.core.locks import PREFIX, file_lock
from converter.core.records import FileRecord


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file, or a link to one, to be read.

    Raises OSError, for all else too, which is not opened: a pipe is waited for, a device may never end. What takes the file's place in
    this moment is not waited for either.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
    return open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")


def read_at_most(path: Path, limit: int) -> bytes:
    """All of a regular file. Raises OSError, for one of more than `limit` bytes too."""
    with open_regular(path) as file:
        data = file.read(limit + 1) or b""  # None from a file without data at the moment, such as some of the kernel's
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit / 2**20:g} MB", os.fspath(path))
    return data


def describe(folder: Path, name: str, known: Iterable[FileRecord] = ()) -> FileRecord:
    """Size, time of modification and sha256 of the file `name` in `folder`; an untouched file keeps its `known` sha256.

    Raises OSError if it cannot be read.
    """
    path = folder / name
    status = path.stat()
    same = (record.sha256 for record in known if (record.path, record.size, record.mtime_ns) == (name, status.st_size, status.st_mtime_ns))
    return FileRecord(path=name, size=status.st_size, mtime_ns=status.st_mtime_ns, sha256=next(same, "") or _sha256(path))


def is_unchanged(path: Path, file: FileRecord, *, trust_mtime: bool) -> bool:
    """Whether `path` is as described; with `trust_mtime` equal size and time of modification are enough."""
    try:
        status = path.stat()
        if status.st_size != file.size or not stat.S_ISREG(status.st_mode):
            return False
        return (trust_mtime and status.st_mtime_ns == file.mtime_ns) or _sha256(path) == file.sha256
    except OSError:
        return False


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically: readers see the old or the new one, whatever other writers do.

    Raises OSError, and then leaves nothing.
    """
    with file_lock(path):
        for left in leftovers(path):  # by a process that was killed
            if stat.S_ISREG(left.lstat().st_mode):
                left.unlink()
        temporary = temporary_name(path)
        try:
            temporary.touch(exist_ok=False)
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def temporary_name(path: Path) -> Path:
    """A hidden name beside `path` that no other file has."""
    return path.with_name(f"{PREFIX}{path.name}-{secrets.token_hex(4)}")


def leftovers(path: Path) -> list[Path]:
    """What lies beside `path` under a name that `temporary_name` may have given."""
    name = re.compile(f"{re.escape(f'{PREFIX}{path.name}')}-[0-9a-f]{{8}}")
    try:
        return [entry for entry in path.parent.iterdir() if name.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sha256(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
