"""What a new repository gets from the checkpoint's card: metadata, and the license file that it links to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from converter import hub
from converter.publish import front_matter

CARD = "README.md"
LINK = "license_link"
LICENSE_DETAILS = ("license_name", LINK)
"""They belong to the license of the same card, and to no other."""

_LARGEST = 2**20
"""Bytes; license texts have up to 100 kB."""
_SUFFIXES = ("", ".html", ".md", ".pdf", ".rst", ".txt")
"""Texts. A link to code or to weights is not followed."""


@dataclass(frozen=True)
class Inherited:
    """Metadata of the checkpoint's card, the license file that it links to, and a note on a link that is left out."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    license_file: hub.Addition | None = None
    note: str = ""


def read_inherited(listing: hub.Listing) -> Inherited:
    """Read the card of a checkpoint's repository. A broken one has no metadata. Raises CheckpointError for a failed download."""
    try:
        metadata = front_matter.read_as_written(hub.read_text(listing, CARD) or "")
    except front_matter.BrokenError:
        return Inherited()
    link = metadata.get(LINK)
    if link is None or _is_address(link):
        return Inherited(metadata)
    path = _path_of(link)
    if not _is_license(path, listing):
        note = f"{LINK} {link!r} of {listing.repository} is left out: it is neither a web address nor a license file there"
        return Inherited({key: value for key, value in metadata.items() if key != LINK}, note=note)
    content = (hub.download(listing.repository, listing.commit, {path: listing.files[path].digest}) / path).read_bytes()
    return Inherited(metadata, hub.Addition(path, content, hashlib.sha256(content).hexdigest()))


def _is_address(link: object) -> bool:
    return isinstance(link, str) and link.lower().startswith(("http://", "https://"))


def _path_of(link: object) -> str:
    """The path of a relative link; empty for other links."""
    try:
        parts = urlsplit(link) if isinstance(link, str) else None
    except ValueError:
        return ""
    return str(PurePosixPath(unquote(parts.path))) if parts and not parts.scheme and not parts.netloc else ""


def _is_license(path: str, listing: hub.Listing) -> bool:
    """Whether a path is a listed text that may be copied: not the card, nothing hidden, and nothing above the repository."""
    file = listing.files.get(path)
    parts = PurePosixPath(path)
    is_inside = not parts.is_absolute() and not any(part.startswith(".") for part in parts.parts)
    return file is not None and file.size <= _LARGEST and is_inside and parts.suffix.lower() in _SUFFIXES and path != CARD
