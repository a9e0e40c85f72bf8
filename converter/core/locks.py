"""One process at a time at one place, of this machine or of another at the same disk; its end gives the place back, however it comes."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from converter.core.interruptions import defer_interruptions

PREFIX = ".converter-"
"""How the name of everything begins that is there for as long as somebody works."""

_ATTEMPTS = 100
"""To make a lock in a folder that others remove whenever they find it empty."""
_INTERVAL = 0.1
"""Seconds between two attempts to take a lock that another process holds."""


def _unobserved() -> None:
    pass


class PathLock:
    """A lock on `path`, which need not exist: a locked file beside it.

    The kernel unlocks it when the process ends, and the next holder removes it. Our lock is an empty file. A file with contents by its
    name is locked too, and stays. An interruption comes before or after each step, so `release` in a `finally` leaves nothing.
    """

    def __init__(self, path: Path) -> None:
        from filelock import FileLock

        self._path = path
        self._lock = FileLock(lock_file(path))

    def acquire(self, waits: Callable[[], None] = _unobserved) -> None:
        """Take the lock. `waits` is called if another process holds it, and may raise. Raises OSError if it cannot be written."""
        _refuse_unlockable(lock_file(self._path))
        if not self._try():
            waits()
            while not self._try():
                time.sleep(_INTERVAL)

    def release(self) -> None:
        """Remove the lock and unlock it, if it was taken."""
        with defer_interruptions():
            if not self._lock.is_locked:
                return
            with suppress(OSError):  # before it is unlocked: a waiting process then sees that its file lost the name
                status = os.lstat(self._lock.lock_file)
                if stat.S_ISREG(status.st_mode) and not status.st_size:
                    Path(self._lock.lock_file).unlink()
            self._lock.release()

    def _try(self) -> bool:
        """Take the lock if no process holds it."""
        from filelock import Timeout

        for attempt in range(_ATTEMPTS):
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with defer_interruptions():
                    self._lock.acquire(blocking=False)
            except Timeout:
                return False
            except (FileNotFoundError, FileExistsError):  # the folder has gone in between
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                break
        return True


@contextmanager
def file_lock(path: Path, waits: Callable[[], None] = _unobserved) -> Iterator[None]:
    """Hold the lock on `path`, see `PathLock`."""
    lock = PathLock(path)
    try:
        lock.acquire(waits)
        yield
    finally:
        try:
            lock.release()
        except BaseException:  # an interruption that came before it was deferred
            lock.release()
            raise


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock on `path` at this moment. Nothing is made, and nobody is kept waiting."""
    try:
        descriptor = os.open(lock_file(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # no lock, or something else by its name
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:  # without locks in the file system, the file is the lock
        return error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.ENOSYS)
    finally:
        os.close(descriptor)
    return False


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
