"""From a source to a checkpoint: `resolve` says what it is without touching a weight, `fetch` brings the files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter import hub
from converter.checkpoints import policy
from converter.errors import CheckpointError
from converter.records import Checkpoint, Source


def resolve(source: Source) -> Checkpoint:
    """Find out what `source` is: its commit or content digest, its config, its files and their sizes.

    Raises CheckpointError where there is no such checkpoint or it is not one that can be converted.
    """
    contents = _look_into(source)
    files = _needed(str(source), contents.sizes, lambda: contents.read(policy.WEIGHTS_INDEX))
    identity = f"sha256:{_digest(source.folder, files)}" if source.folder else f"commit:{contents.commit}"
    return Checkpoint(source=source, identity=identity, config=contents.config, files=files, folder=source.folder)


def fetch(checkpoint: Checkpoint) -> Path:
    """Bring the files of a checkpoint to this machine and check that the weights are whole; return their folder."""
    folder = checkpoint.folder or hub.download(checkpoint.source.name, checkpoint.identity.removeprefix("commit:"), checkpoint.files)
    for name in checkpoint.files:
        if name.endswith(".safetensors"):
            _check_weights(folder / name)
    return folder


def read_config(source: Source) -> dict[str, Any]:
    """The config.json of `source` alone, for who wants to know nothing else of it. Raises CheckpointError."""
    return _look_into(source).config


@dataclass(frozen=True)
class _Contents:
    """What lies at a source: the commit (None for a folder), each file's size, a way to read one, and the config."""

    commit: str | None
    sizes: Mapping[str, int]
    read: Callable[[str], str]
    config: dict[str, Any]


def _look_into(source: Source) -> _Contents:
    commit, sizes, read = _look_into_folder(source.folder) if source.folder else _look_into_repository(source)
    if policy.CONFIG not in sizes:
        raise CheckpointError(f"{source} has no {policy.CONFIG}", "name a folder or repository as transformers' save_pretrained writes it")
    return _Contents(commit, sizes, read, policy.check_config(read(policy.CONFIG), str(source)))


def _look_into_folder(folder: Path) -> tuple[None, Mapping[str, int], Callable[[str], str]]:
    try:
        if not folder.is_dir():
            raise CheckpointError(f"there is no folder {folder}", "check the path; a Hub id has the form name or org/name")
        sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _files(folder)}
    except OSError as error:
        raise _unreadable(folder, error) from error
    return None, sizes, lambda name: _read_text(folder / name)


def _look_into_repository(source: Source) -> tuple[str, Mapping[str, int], Callable[[str], str]]:
    commit, sizes = hub.files_at(source.name, source.revision)
    return commit, sizes, lambda name: _read_text(hub.download(source.name, commit, (name,)) / name)


def _needed(name: str, sizes: Mapping[str, int], read_index: Callable[[], str]) -> dict[str, int]:
    weights = policy.weight_files(name, sizes, read_index)
    index = (policy.WEIGHTS_INDEX,) if policy.WEIGHTS_INDEX in sizes and policy.WEIGHTS not in sizes else ()
    return {file: sizes[file] for file in sorted({*filter(policy.is_sidecar, sizes), *weights, *index})}


def _files(folder: Path) -> Iterable[Path]:
    """The files of a folder and of its first level of folders, where sentence-transformers keeps its modules."""
    return (path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_file())


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not UTF-8 text", "download the checkpoint again") from error


def _digest(folder: Path, files: Iterable[str]) -> str:
    """The sha256 over the names and contents of `files`."""
    total = hashlib.sha256()
    for name in files:
        try:
            with open(folder / name, "rb") as file:
                total.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        except OSError as error:
            raise _unreadable(folder / name, error) from error
    return total.hexdigest()


def _unreadable(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(f"{path} cannot be read: {error.strerror}", "check its permissions")


def _check_weights(path: Path) -> None:
    """Read a safetensors header against the file's size: a truncated download ends here, not in a wrong model."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            file.keys()
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"the weights in {path} are damaged or cut short: {error}", "download the checkpoint again") from error
