"""Files that root makes belong to the owner of the working folder."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

_logger = logging.getLogger(__name__)


def is_guest() -> bool:
    """Whether this process is root in another user's working folder, as a container in a workspace."""
    try:
        return os.geteuid() == 0 and Path.cwd().stat().st_uid != 0
    except OSError:  # the working folder was removed
        return False


def hand_over(folder: Path) -> None:
    """Give root's files in `folder`, and its folders above, to the owner of the working folder.

    A container works as root in a user's folder, and its files there become the user's. Does nothing for other users, nor outside
    the working folder. A failure is logged, and the files stay root's.
    """
    if not is_guest():
        return
    here, inside = Path.cwd().resolve(), folder.resolve()
    if not inside.is_relative_to(here):
        return
    above = [parent for parent in inside.parents if here in parent.parents]
    try:
        owner = here.stat()
        for path in (*above, inside):
            _give(path, owner)
        if inside.is_dir():
            for _, folders, files, descriptor in os.fwalk(inside):  # by descriptors: the user may put a link in place of a folder
                for name in (*folders, *files):
                    _give(name, owner, descriptor)
    except OSError as error:
        _logger.warning("the files in %s stay owned by root: %s", folder, error.strerror)


def _give(path: Path | str, owner: os.stat_result, descriptor: int | None = None) -> None:
    """Give one of root's files away, unless it has other names: by another name it may lie anywhere."""
    try:
        status = os.stat(path, dir_fd=descriptor, follow_symlinks=False)
        shared = status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)
        if status.st_uid == 0 and not shared:
            os.chown(path, owner.st_uid, owner.st_gid, dir_fd=descriptor, follow_symlinks=False)
    except FileNotFoundError:  # nothing was made, or it has gone since
        return
