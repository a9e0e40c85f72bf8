"""The source of a model as text: a folder, or a Hub repository with an optional revision."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from converter.core.errors import UsageError
from converter.core.records import Source
from converter.core.text import brief, printable

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_HUB_ID = re.compile(rf"(?:{_PART}/)?{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,253}[A-Za-z0-9._-])?")
_WRITTEN_AS_PATH = re.compile(r"(?:\.{1,2}|~[^/]*)?(?:/|$)")


_HUB_ADDRESS = re.compile(
    r"(?:(?:https?|ssh)://)?(?:git@)?(?:www\.)?(?:huggingface\.co|hf\.co|hf-mirror\.com)(?:[/:]|$)|hf://", re.IGNORECASE
)
_OTHER_ADDRESS = re.compile(r"[a-z][a-z0-9+]*://|git@", re.IGNORECASE)
_WRITE_ID = "write a Hub id of the form org/name"
_PAGES = ("tree", "blob", "resolve", "raw", "commit")
"""The pages of a repository whose addresses name a revision."""


def is_hub_id(name: str) -> bool:
    """Whether the Hub can have a repository of this name, `name` or `org/name`."""
    return bool(_HUB_ID.fullmatch(name)) and "--" not in name and ".." not in name


def is_revision(name: str) -> bool:
    """Whether a branch, a tag or a commit can have this name."""
    return bool(_REVISION.fullmatch(name)) and ".." not in name and "//" not in name


def parse_source(text: str, base: Path) -> Source:
    """Parse `./folder`, `/folder`, `~/folder`, `org/name` or `org/name@revision`.

    A path is a folder. A bare name is a folder if it exists in `base`, otherwise a Hub id. Raises ValueError with a message for anything
    else.
    """
    if not text or printable(text) != text:
        raise ValueError(f"{brief(text)!r} is not a name: it is empty or has unprintable characters")
    try:
        folder = base / Path(text).expanduser()
        is_folder = bool(_WRITTEN_AS_PATH.match(text)) or folder.is_dir()
    except RuntimeError:  # expanduser, of ~somebody
        raise ValueError(f"{brief(text)!r} is in the home of a user that this system does not know") from None
    except OSError:  # a name too long for a file, or in a folder that may not be looked into
        is_folder = False
    if is_folder:
        return Source(name=text, folder=folder)
    if address := _HUB_ADDRESS.match(text):
        raise ValueError(_of_address(text, text[address.end() :]))
    if _OTHER_ADDRESS.match(text):
        raise ValueError(f"{brief(text)!r} is an address; {_WRITE_ID}")
    name, _, revision = text.partition("@")
    if name.endswith("/") and is_hub_id(name.rstrip("/")):
        raise ValueError(f"{brief(text)!r} is not a folder here; a Hub id has no slash at its end")
    if not is_hub_id(name):
        raise ValueError(f"{brief(name)!r} is neither a folder here nor a Hub id of the form name or org/name; a path starts with ./")
    if "@" in text and not is_revision(revision):
        raise ValueError(f"{brief(revision)!r} is not a revision: a branch, a tag or a commit")
    return Source(name=name, revision=revision or None)


def _of_address(text: str, path: str) -> str:
    """The message for a pasted address: the id in its `path`, if there is one."""
    parts = [unquote(part) for part in re.split(r"[?#]", path)[0].removesuffix(".git").split("/") if part]
    if parts[:1] == ["models"]:
        del parts[0]
    if parts[:1] in (["datasets"], ["spaces"]):
        return f"{brief(text)!r} is the address of a {parts[0].removesuffix('s')}, not of a model"
    revision = parts[3] if len(parts) > 3 and parts[2] in _PAGES and parts[3] != "main" else ""
    name = "/".join(parts[:2])
    if not is_hub_id(name) or (revision and not is_revision(revision)):
        return f"{brief(text)!r} is an address; {_WRITE_ID}"
    return f"{brief(text)!r} is an address; write {name}{f'@{revision}' if revision else ''}"


def read_source(text: str) -> Source:
    """Parse the name of a model on the command line or in a call; a path is relative to the working folder. Raises UsageError."""
    try:
        return parse_source(text, Path.cwd())
    except ValueError as error:
        raise UsageError(str(error), "give a Hub id or a folder") from None
