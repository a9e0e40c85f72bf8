"""What a user may write for a model: a folder, or a repository of the Hub with an optional revision."""

from __future__ import annotations

import re
from pathlib import Path

from converter.records import Source

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_HUB_ID = re.compile(rf"(?:{_PART}/)?{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,253}[A-Za-z0-9._-])?")
_WRITTEN_AS_PATH = re.compile(r"(?:\.{1,2}|~[^/]*)?(?:/|$)")


def parse_source(text: str, base: Path) -> Source:
    """Read `./folder`, `/folder`, `~/folder`, `org/name` or `org/name@revision`.

    What is written as a path is one; a bare name is a folder where `base` holds such a folder, otherwise a Hub id.
    Raises ValueError, in a sentence, for what can be neither.
    """
    if "\0" in text:
        raise ValueError("a name cannot hold a NUL character")
    folder = base / Path(text).expanduser()
    if _WRITTEN_AS_PATH.match(text) or folder.is_dir():
        return Source(name=text, folder=folder)
    name, _, revision = text.partition("@")
    if not _HUB_ID.fullmatch(name) or "--" in name or ".." in name:
        raise ValueError(f"{name!r} is neither a folder here nor a Hub id of the form name or org/name; a path starts with ./")
    if "@" in text and (not _REVISION.fullmatch(revision) or ".." in revision or "//" in revision):
        raise ValueError(f"{revision!r} is not a revision: a branch, a tag or a commit")
    return Source(name=name, revision=revision or None)
