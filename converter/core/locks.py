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
    """Hold `path`, which need not be there, against all others who claim it.

    `waits` is called where another has to be waited for; it may raise an error instead. What shows that it is held is a locked file
    beside it: the kernel unlocks it when its process ends, and who comes next removes it. Raises OSError where none can be written.
    A lock of ours is an empty file. Whatever else has its name stays as it is: a file with contents is locked all the same.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f"{PREFIX}{path.name}.lock"))
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
        with suppress(OSError):  # while it is held: who waits for it looks whether it is still the one that has the name
            status = os.lstat(lock.lock_file)
            if stat.S_ISREG(status.st_mode) and not status.st_size:
                Path(lock.lock_file).unlink()
        lock.release()


def _refuse_unlockable(path: Path) -> None:
    """Raise OSError if what has the name of a lock can never be one: a link, which may lead anywhere, a folder, a pipe."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"{path} is in the way; move it elsewhere")
