"""List a repository at a commit, and download its files, checked against the Hub's digests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from converter.core.errors import CheckpointError, ConverterError
from converter.core.records import Visibility
from converter.hub.digests import GIT, SHA256, digest_of
from converter.hub.retry import request


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: its size in bytes and its digest, as from `digest_of`; empty if unknown."""

    size: int
    digest: str


@dataclass(frozen=True)
class Listing:
    """A repository at a commit. `repository` is the id that it goes by today; `from_cache` says that the Hub was not asked."""

    repository: str
    commit: str
    files: Mapping[str, RemoteFile]
    visibility: Visibility | None = None
    from_cache: bool = False


def cache_folders() -> list[Path]:
    """The folders that huggingface_hub writes."""
    from huggingface_hub import constants

    return [*map(Path, (constants.HF_HOME, constants.HF_HUB_CACHE, constants.HF_XET_CACHE, constants.HF_ASSETS_CACHE))]


def look(repository: str, revision: str | None, kind: type[ConverterError] = CheckpointError, *, is_new: bool = False) -> Listing:
    """Resolve a revision to its commit and list its files. With HF_HUB_OFFLINE, from the cache.

    A repository that `is_new` is waited for. Raises `kind`.
    """
    from huggingface_hub import HfApi, is_offline_mode

    if is_offline_mode():
        return _look_into_cache(repository, revision)
    read_info = partial(HfApi().model_info, repository, revision=revision, files_metadata=True)
    info = request(read_info, repository, revision, kind, is_new=is_new)
    files = {file.rfilename: RemoteFile(file.size or 0, _digest(file)) for file in info.siblings or ()}
    return Listing(info.id, info.sha or "", files, "private" if info.private else "gated" if info.gated else "public")


def download(repository: str, commit: str, digests: Mapping[str, str]) -> Path:
    """Download files of a repository at a commit into the Hub's cache; return the folder that has them by name.

    `digests` has the digest of each by its name. A mismatch is downloaded once more. Cached files are not downloaded. Raises
    CheckpointError.
    """
    paths = {name: _file(repository, commit, name, digest) for name, digest in digests.items()}
    name, path = next(iter(paths.items()))
    return path.parents[name.count("/")]


def remember(repository: str, revision: str | None, listing: Listing, name: str) -> None:
    """Record in the cache the commit of a branch or tag, for a later HF_HUB_OFFLINE; `name` is one of its files. Raises
    CheckpointError.

    The client records it only for a download by branch.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    known = try_to_load_from_cache(repository, name, revision=revision)
    if not listing.from_cache and revision != listing.commit and not (isinstance(known, str) and listing.commit in Path(known).parts):
        request(lambda: hf_hub_download(repository, name, revision=revision), repository, revision)


def read_text(listing: Listing, name: str) -> str | None:
    """The text of a file of a listed repository; None if it is missing or not UTF-8."""
    if name not in listing.files:
        return None
    path = _file(listing.repository, listing.commit, name, listing.files[name].digest)
    try:
        return path.read_bytes().decode("utf-8")  # keeps its line ends
    except UnicodeDecodeError:
        return None


def _file(repository: str, commit: str, name: str, digest: str) -> Path:
    """The path of a file in the cache. A damaged one is replaced."""
    from huggingface_hub import hf_hub_download, is_offline_mode

    path = Path(request(lambda: hf_hub_download(repository, name, revision=commit), repository, commit))
    if _has_digest(path, digest):
        return path
    if is_offline_mode():
        raise CheckpointError(f"{path} changed after its download", "unset HF_HUB_OFFLINE to download it again")

    def download_again() -> Path:
        path.unlink(missing_ok=True)  # in a cache without symlinks force_download replaces no file of a snapshot
        return Path(hf_hub_download(repository, name, revision=commit, force_download=True))

    if _has_digest(path := request(download_again, repository, commit), digest):
        return path
    raise CheckpointError(
        f"{name} of {repository}@{commit} arrives with other contents than the Hub says it has, twice over",
        "check what stands between here and the Hub, then try again",
    )


def _has_digest(path: Path, digest: str) -> bool:
    """Whether a file has the Hub's digest, if that is known. Raises CheckpointError if it cannot be read."""
    try:
        return not digest or digest_of(path, digest) == digest
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}", "check its permissions") from error


def _digest(file: Any) -> str:
    """That of a file in the client's listing."""
    if file.lfs is not None:
        return f"{SHA256}{file.lfs.sha256}"
    return f"{GIT}{file.blob_id}" if file.blob_id else ""


def _look_into_cache(repository: str, revision: str | None) -> Listing:
    """The cached snapshot of a revision. A file in the cache is named by its digest."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repository, "config.json", revision=revision)
    if not isinstance(config, str):
        named = f"{repository}@{revision}" if revision else repository
        raise CheckpointError(f"{named} is not in the cache, and HF_HUB_OFFLINE is set", "unset it, or name a local folder")
    folder = Path(config).parent
    paths = [path for path in folder.rglob("*") if path.is_file()]
    files = {path.relative_to(folder).as_posix(): RemoteFile(path.stat().st_size, _digest_by_name(path.resolve().name)) for path in paths}
    return Listing(repository, folder.name, files, from_cache=True)


def _digest_by_name(name: str) -> str:
    if re.fullmatch("[0-9a-f]{64}", name):
        return f"{SHA256}{name}"
    return f"{GIT}{name}" if re.fullmatch("[0-9a-f]{40}", name) else ""
