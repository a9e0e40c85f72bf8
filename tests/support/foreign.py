"""A user's files of every kind (a file, a folder, a link, a pipe), and a check that each is unchanged."""

from __future__ import annotations

import os
import stat
from pathlib import Path

FOREIGN = ("file", "folder", "link", "pipe")


def put_foreign(path: Path, kind: str) -> None:
    """Put something of a user's at `path`; a link leads to a file beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        path.write_text("mine", encoding="utf-8")
    elif kind == "folder":
        path.mkdir()
        (path / "mine.txt").write_text("mine", encoding="utf-8")
    elif kind == "link":
        path.with_name("linked.txt").write_text("mine", encoding="utf-8")
        path.symlink_to("linked.txt")
    else:
        os.mkfifo(path)


def state(folder: Path) -> dict[str, str]:
    """Everything below a folder by path: its kind and its contents."""
    return {path.relative_to(folder).as_posix(): _told(path) for path in sorted(folder.rglob("*"))}


def _told(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"link to {path.readlink()}"
    if stat.S_ISREG(mode):
        return f"file {path.read_text(encoding='utf-8', errors='backslashreplace')}"
    return "folder" if stat.S_ISDIR(mode) else "pipe"
