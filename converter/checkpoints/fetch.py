"""From a source to a checkpoint: `resolve` describes it without its weights, `fetch` brings the files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter import hub
from converter.checkpoints import policy
from converter.checkpoints.git_lfs import check_pointers
from converter.checkpoints.modules import declared_task
from converter.checkpoints.policy import NOTHING_ELSE
from converter.checkpoints.quantization import check_quantization, check_scales, quantization_method
from converter.checkpoints.recognition import Place, check_adapter, without_config, without_model_type, without_weights
from converter.checkpoints.size import check_counts
from converter.checkpoints.stored import check_header, stored_tensors
from converter.core.errors import CheckpointError
from converter.core.files import describe, read_at_most
from converter.core.records import Allowed, Checkpoint, FileRecord, Source


def resolve(source: Source, allowed: Allowed = NOTHING_ELSE, known: Sequence[FileRecord] = ()) -> Checkpoint:
    """Resolve `source`: its commit or content digest, its config, its files and their sizes.

    `known` descriptions of a folder's files save reading untouched ones. Raises CheckpointError for a missing checkpoint, one that
    cannot be converted, or forbidden contents.
    """
    contents = _look_into(source, allowed)
    files = {name: contents.files[name].size for name in _needed(str(source), contents, allowed)}
    task = declared_task(str(source), contents.files, contents.place.read)
    listing = contents.listing
    if listing is None:
        assert source.folder
        _check_pointers(source, source.folder, files)
        for name, size in files.items():  # before any is read whole
            if name.endswith(".safetensors"):
                _check_weights(source.folder / name)
            elif policy.is_sidecar(name) and size > policy.SIDECAR_LIMIT:
                message = f"{name} of {source} has {size:,} bytes, as no config and no vocabulary has"
                raise CheckpointError(message, "move it out of the checkpoint's folder")
        described = tuple(_described(source.folder, name, known) for name in files)
        identity = _contents_of({file.path: file.sha256 for file in described})
        return Checkpoint(
            source=source,
            identity=identity,
            contents=identity,
            config=contents.config,
            files=files,
            described=described,
            folder=source.folder,
            task=task,
        )
    if allowed.remote_code:
        policy.check_pin(source, listing.commit)
    hub.remember(source.name, source.revision, listing, policy.CONFIG)
    digests = {name: listing.files[name].digest for name in files}
    return Checkpoint(
        source=source,
        identity=f"commit:{listing.commit}",
        config=contents.config,
        files=files,
        digests=digests,
        contents=_contents_of(digests),
        repository=listing.repository,
        visibility=listing.visibility,
        task=task,
        notes=tuple(_notes(source, listing)),
    )


def fetch(checkpoint: Checkpoint, allowed: Allowed = NOTHING_ELSE) -> Path:
    """Bring the files of a checkpoint to this machine and check that they are whole; return their folder."""
    commit, digests = checkpoint.identity.removeprefix("commit:"), {name: checkpoint.digests.get(name, "") for name in checkpoint.files}
    folder = checkpoint.folder or hub.download(checkpoint.source.name, commit, digests)
    _check_pointers(checkpoint.source, folder, checkpoint.files)
    for name in checkpoint.files:
        if name.endswith(".safetensors"):
            _check_weights(folder / name)
        if allowed.remote_code and name in policy.CODE_MAPS:
            policy.check_code(_read_text(folder / name, policy.CONFIG_LIMIT), f"{name} of {checkpoint.source}")
    check_counts(checkpoint, folder)
    weights = [folder / name for name in checkpoint.files if name.endswith(".safetensors")]
    if quantization_method(checkpoint.config):
        if not weights:
            raise CheckpointError(f"{checkpoint.source} has quantized weights in a pickle, which is not read", "save it as safetensors")
        tensors = {name: tensor.dtype for path in weights for name, tensor in stored_tensors(path).items()}
        check_scales(str(checkpoint.source), checkpoint.config, tensors)
    return folder


def read_config(source: Source) -> dict[str, Any]:
    """The config.json of `source` only. Raises CheckpointError."""
    return _look_into(source, NOTHING_ELSE).config


@dataclass(frozen=True)
class _Contents:
    """What lies at a source: the Hub's listing (None for a folder), its files, a way to read one, and the config."""

    listing: hub.Listing | None
    files: Mapping[str, hub.RemoteFile]
    place: Place
    config: dict[str, Any]


def _look_into(source: Source, allowed: Allowed) -> _Contents:
    listing, files, read = _look_into_folder(source.folder) if source.folder else _look_into_repository(source)
    place = Place(str(source), files, read, is_local=source.folder is not None)
    if source.folder:
        _check_pointers(source, source.folder, filter(policy.may_be_needed, files))
    check_adapter(place)
    if policy.CONFIG not in files:
        raise without_config(place)
    config = policy.check_config(read(policy.CONFIG, policy.CONFIG_LIMIT), place.name, allowed)
    if not policy.names_model_type(config):
        raise without_model_type(place.name, config)
    check_quantization(place.name, config)
    return _Contents(listing, files, place, config)


def _look_into_folder(folder: Path) -> tuple[None, Mapping[str, hub.RemoteFile], Callable[[str, int], str]]:
    try:
        if folder.is_file():
            raise CheckpointError(f"{folder} is a file", "name the folder of the checkpoint")
        if not folder.is_dir():
            raise CheckpointError(f"no folder {folder}", "check the path; a Hub id has the form name or org/name")
        files = {path.relative_to(folder).as_posix(): hub.RemoteFile(path.stat().st_size, "") for path in _files(folder)}
    except OSError as error:
        raise _unreadable(folder, error) from error
    return None, files, lambda name, limit: _read_text(folder / name, limit)


def _look_into_repository(source: Source) -> tuple[hub.Listing, Mapping[str, hub.RemoteFile], Callable[[str, int], str]]:
    listing = hub.look(source.name, source.revision)

    def read(name: str, limit: int) -> str:
        size = listing.files[name].size
        if size > limit:  # nothing of such a size is fetched for that
            raise CheckpointError(f"{name} of {source} has {size:,} bytes, and at most {limit:,} are read", "take another checkpoint")
        folder = hub.download(source.name, listing.commit, {name: listing.files[name].digest})
        _check_pointers(source, folder, [name])
        return _read_text(folder / name, limit)

    return listing, listing.files, read


def _needed(name: str, contents: _Contents, allowed: Allowed) -> list[str]:
    """The files for a conversion: weights, config, tokenizer, and code if allowed."""
    weights = policy.weight_files(name, contents.files, lambda index: contents.place.read(index, policy.INDEX_LIMIT), allowed)
    if not weights:
        raise without_weights(contents.place)
    code = filter(policy.is_code, contents.files) if allowed.remote_code else ()
    return sorted({*filter(policy.is_sidecar, contents.files), *weights, *code})


def _contents_of(digests: Mapping[str, str]) -> str:
    """The sha256 of the names and digests of files, whatever the commit; empty if a digest is unknown."""
    if not all(digests.values()):
        return ""
    listed = "".join(f"{name}\0{digest}\n" for name, digest in digests.items())
    return f"sha256:{hashlib.sha256(listed.encode()).hexdigest()}"


def _notes(source: Source, listing: hub.Listing) -> Iterable[str]:
    if listing.from_cache:
        commit = listing.commit[:12]
        yield f"HF_HUB_OFFLINE is set: {source} is the cached commit {commit}, which may be old or incomplete"
    if listing.repository.casefold() != source.name.casefold():
        yield f"{source.name} is called {listing.repository} on the Hub"


def _files(folder: Path) -> Iterable[Path]:
    """The files of a folder and of its first level of subfolders, for modules of sentence-transformers.

    Raises CheckpointError for a pipe, a device, a broken link and the like: reading one may never end.
    """
    for path in (path for pattern in ("*", "*/*") for path in folder.glob(pattern)):
        if path.is_file():
            yield path
        elif policy.may_be_read(path.relative_to(folder).as_posix()) and not path.is_dir():
            link = path.is_symlink() and not path.exists()
            raise CheckpointError(
                f"{path} is {'a link that leads nowhere' if link else 'neither a file nor a folder'}", "take it away, or put the file there"
            )


def _read_text(path: Path, limit: int) -> str:
    try:
        return read_at_most(path, limit).decode("utf-8")
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not UTF-8 text", "download the checkpoint again") from error


def _described(folder: Path, name: str, known: Sequence[FileRecord]) -> FileRecord:
    try:
        return describe(folder, name, known)
    except OSError as error:
        raise _unreadable(folder / name, error) from error


def _unreadable(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(f"{path} cannot be read: {error.strerror}", "check the file and its permissions")


def _check_pointers(source: Source, folder: Path, files: Iterable[str]) -> None:
    try:
        check_pointers(str(source), folder, [*files], is_local=source.folder is not None)
    except OSError as error:
        raise _unreadable(folder, error) from error


def _check_weights(path: Path) -> None:
    """Read a safetensors header against the file's size: a truncated download ends here, not in a wrong model."""
    try:
        check_header(path)
    except (ValueError, OSError) as error:
        raise CheckpointError(f"the weights in {path} are damaged or cut short: {error}", "download the checkpoint again") from error
