"""Pointers of Git LFS: the three lines that a clone without LFS has in place of a file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from converter.core.errors import CheckpointError
from converter.core.text import brief

_FIRST_LINES = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
_LARGEST = 1024
"""Bytes of a pointer, by its specification."""
_MOST_NAMED = 3


def is_pointer(path: Path) -> bool:
    """Whether a file is a pointer. Raises OSError if it cannot be read."""
    if path.stat().st_size >= _LARGEST:
        return False
    with open(path, "rb") as file:
        return file.read(_LARGEST).startswith(_FIRST_LINES)


def check_pointers(name: str, folder: Path, files: Collection[str], *, is_local: bool) -> None:
    """Raise CheckpointError if one of `files` in the `folder` of a checkpoint is a pointer, with OSError for an unreadable one."""
    pointers = sorted(file for file in files if is_pointer(folder / file))
    if not pointers:
        return
    listed = ", ".join(map(brief, pointers[:_MOST_NAMED]))
    more = f" and {len(pointers) - _MOST_NAMED} more" if len(pointers) > _MOST_NAMED else ""
    are = "is a Git LFS pointer, not the file" if len(pointers) == 1 else "are Git LFS pointers, not the files"
    raise CheckpointError(
        f"{listed}{more} of {name} {are}",
        "run `git lfs pull` in it; in a workflow check out with `lfs: true`"
        if is_local
        else "have the files themselves uploaded, such as with `hf upload`",
    )
