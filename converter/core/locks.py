"""One process at a time at one place, of this machine or of another at the same disk; its end gives the place back, however it comes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".converter-"
"""How the name of everything begins that is there for as long as somebody works."""

_ATTEMPTS = 100
"""To make a lock in a folder that others remove whenever they find it empty."""


def _unobserved() -> None:
    pass


@contextmanager
def file_lock(path: Path, waits: Callable[[], None] = _unobserved) -> Iterator[None]:
    """Hold a lock on `path`, which need not exist.

    `waits` is called if another process holds it, and may raise. The lock is a locked file beside `path`. The kernel unlocks it when
    the process ends, and the next holder removes it. Raises OSError if it cannot be written. Our lock is an empty file. A file with
    contents by its name is locked too, and stays.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(lock_file(path))
    _refuse_unlockable(Path(lock.lock_file))
    for attempt in range(_ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                waits()
                lock.acquire(poll_interval=0.1)
        except (FileNotFoundError, FileExistsError):  # the folder has gone in between
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            break
    try:
        yield
    finally:
        with suppress(OSError):  # before it is unlocked: a waiting process then sees that its file lost the name
            status = os.lstat(lock.lock_file)
            if stat.S_ISREG(status.st_mode) and not status.st_size:
                Path(lock.lock_file).unlink()
        lock.release()


def lock_file(path: Path) -> Path:
    """The file that `file_lock` locks. It is there for as long as a process holds the lock, or after one was killed."""
    return path.with_name(f"{PREFIX}{path.name}.lock")


def _refuse_unlockable(path: Path) -> None:
    """Raise OSError if the name of a lock belongs to a link, a folder or a pipe."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"{path} is in the way; move it elsewhere")
