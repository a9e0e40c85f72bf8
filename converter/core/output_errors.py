"""Errors of an output folder, in words for the user."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

from converter.core.errors import OutputError

_OS_ERRORS = {
    errno.ENOSPC: ("the disk is full", "free some space or choose another output folder"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or choose another output folder"),
    errno.EFBIG: ("the file would be larger than this system allows", "raise the limit or choose another output folder"),
    errno.EACCES: ("permission denied", "choose an output folder that you may write to"),
    errno.EPERM: ("permission denied", "choose an output folder that you may write to"),
    errno.EROFS: ("the file system is read-only", "choose an output folder that you may write to"),
    errno.ENOTDIR: ("a file is in the place of a folder", "choose another output folder"),
    errno.EEXIST: ("a file is in the place of a folder", "choose another output folder"),
}


def output_error(path: Path, error: OSError) -> OutputError:
    """Say in a sentence why `path` could not be written."""
    reason, hint = _OS_ERRORS.get(error.errno or 0, (error.strerror or str(error), "choose another output folder"))
    return OutputError(f"cannot write to {path}: {reason}", hint)


def check_writable(folder: Path) -> None:
    """Check before any work that `folder` can be written. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise output_error(folder, error) from error
