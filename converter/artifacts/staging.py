"""The folder in which an artifact is made and validated, beside its destination.

The process that stages holds a lock on the destination, so no two processes make one artifact at once. The next process to hold the
lock removes the folder of a killed one.
"""

from __future__ import annotations

import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from converter.core.files import leftovers, temporary_name
from converter.core.interruptions import defer_interruptions
from converter.core.locks import PathLock, file_lock, is_locked, lock_file
from converter.core.output_errors import output_error

STAGED, REPLACED = "artifact", "replaced"
"""The folders in a staging folder: the new artifact, and the older one on its way out."""
_INTERVAL = 0.1
"""Seconds between two looks whether a job that is waited for has ended."""


@contextmanager
def staging_folder(destination: Path, waits: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Lock `destination` and give an empty folder on its disk, removed at the end with all that is left in it.

    A destination that is a mount point is staged inside, as no rename leads from one disk to another. New folders above it are
    removed at the end if they are empty.

    Args:
        destination: the folder of the artifact.
        waits: called if another process holds the lock.

    Raises: OutputError.
    """
    lock_path = _lock_path(destination)
    lock, place = PathLock(lock_path), temporary_name(lock_path)
    made = [folder for folder in (place.parent, *place.parent.parents) if not folder.exists()]
    is_ours = False

    def clean_up() -> None:
        with defer_interruptions():
            if is_ours:
                shutil.rmtree(place, ignore_errors=True)
            lock.release()
            for empty in made:
                with suppress(OSError):  # not empty: something else is there to stay
                    empty.rmdir()

    try:
        try:
            lock.acquire(waits)
            _remove_leftovers(lock_path)
            with defer_interruptions():
                place.mkdir(parents=True)  # made by this process, whatever else lies there
                is_ours = True
            (place / STAGED).mkdir()
        except OSError as error:
            raise output_error(destination, error) from error
        yield place / STAGED
    finally:
        try:
            clean_up()
        except BaseException:  # an interruption that came before it was deferred
            clean_up()
            raise


def is_occupied(destination: Path) -> bool:
    """Whether another process holds the lock on `destination` at this moment."""
    return is_locked(_lock_path(destination))


def sweep(destination: Path, until: float = 0.0) -> None:
    """Remove the staging folders and the lock of killed jobs for `destination`, and the folder above if it is empty.

    A job that holds the lock is waited for, `until` by the monotonic clock: it may be ending. Then it is left alone.
    """

    def leave() -> NoReturn:
        raise BlockingIOError("another job is there, and it sweeps")

    lock_path = _lock_path(destination)
    while leftovers(lock_path) or lock_file(lock_path).exists():
        try:
            with file_lock(lock_path, leave):
                _remove_leftovers(lock_path)
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(_INTERVAL)
                continue
        except OSError:
            pass
        break
    with suppress(OSError):  # not empty, or not there
        lock_path.parent.rmdir()


def _lock_path(destination: Path) -> Path:
    """Return the path whose lock a writer to `destination` holds. Staging folders lie beside it."""
    destination = destination.resolve()
    parent = destination if destination.is_mount() else destination.parent
    return parent / destination.name


def _remove_leftovers(lock_path: Path) -> None:
    """Remove staging folders of killed processes. A folder with any other entry is a user's, and stays."""
    for place in leftovers(lock_path):
        if stat.S_ISDIR(place.lstat().st_mode) and {path.name for path in place.iterdir()} <= {STAGED, REPLACED}:
            shutil.rmtree(place, ignore_errors=True)
