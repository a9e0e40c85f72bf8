"""Files that root makes belong to the owner of the working folder."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

_logger = logging.getLogger(__name__)


def hand_over(folder: Path) -> None:
    """Give root's files in `folder`, and its folders above, to the owner of the working folder.

    A container works as root in a user's folder, and its files there become the user's. Does nothing for other users, nor outside
    the working folder. A failure is logged, and the files stay root's.
    """
    here, inside = Path.cwd().resolve(), folder.resolve()
    owner = here.stat()
    if os.geteuid() != 0 or owner.st_uid == 0 or not inside.is_relative_to(here):
        return
    above = [parent for parent in inside.parents if here in parent.parents]
    for path in (*above, inside, *inside.rglob("*")):
        try:
            status = path.lstat()
            shared = status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)  # by another name it may lie anywhere
            if status.st_uid == 0 and not shared:
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        except FileNotFoundError:  # nothing was made, or it has gone since
            continue
        except OSError as error:
            _logger.warning("the files in %s stay owned by root: %s", folder, error.strerror)
            return
