"""The folder in which an artifact is made and validated, beside its destination.

The process that stages holds a lock on the destination, so no two processes make one artifact at once. The next process to hold the
lock removes the folder of a killed one.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from converter.core.files import leftovers, temporary_name
from converter.core.locks import file_lock, lock_file
from converter.core.output_errors import output_error

STAGED, REPLACED = "artifact", "replaced"
"""The folders in a staging folder: the new artifact, and the older one on its way out."""


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
    place = temporary_name(lock_path)
    made = [folder for folder in (place.parent, *place.parent.parents) if not folder.exists()]
    try:
        with ExitStack() as stack:
            try:
                stack.enter_context(file_lock(lock_path, waits))
                _remove_leftovers(lock_path)
                place.mkdir(parents=True)  # made by this process, whatever else lies there
                stack.callback(shutil.rmtree, place, ignore_errors=True)
                staged = place / STAGED
                staged.mkdir()
            except OSError as error:
                raise output_error(destination, error) from error
            yield staged
    finally:
        for empty in made:
            with suppress(OSError):  # not empty: something else is there to stay
                empty.rmdir()


def sweep(destination: Path) -> None:
    """Remove the staging folders and the lock of killed jobs for `destination`, and the folder above if it is empty."""

    def leave() -> NoReturn:
        raise BlockingIOError("another job is there, and it has swept")

    lock_path = _lock_path(destination)
    if leftovers(lock_path) or lock_file(lock_path).exists():
        with suppress(OSError), file_lock(lock_path, leave):
            _remove_leftovers(lock_path)
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
