"""The Hub's digests of files: git's object name for files in git, the sha256 for large ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

SHA256 = "sha256:"
GIT = "git:"


def digest_of(content: Path | bytes, kind: str) -> str:
    """The digest of `content` in the form of another: `sha256:…`, or `git:…`, the sha1 of git's object.

    Raises OSError if a file cannot be read.
    """
    name, begin = ("sha1", b"blob %d\0" % _size(content)) if kind.startswith(GIT) else ("sha256", b"")
    total = hashlib.new(name, begin, usedforsecurity=False)
    if isinstance(content, bytes):
        total.update(content)
    else:
        with open(content, "rb") as file:
            while chunk := file.read(1 << 20):
                total.update(chunk)
    return f"{GIT if begin else SHA256}{total.hexdigest()}"


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size
