"""Files that clients load and validation did not see."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fnmatch import fnmatch
from pathlib import Path

from converter.artifacts.record_file import RECORD
from converter.backends import Backend
from converter.checkpoints.policy import PICKLED_INDEX, PICKLED_WEIGHTS, WEIGHTS, WEIGHTS_INDEX
from converter.core.records import ArtifactRecord


def stray_files(folder: Path, backend: Backend, measured: Collection[str], record: ArtifactRecord | None) -> Iterator[str]:
    """Return the files of an artifact's folder that clients load and that were not `measured`.

    Tensor files that its `record` does not name count too. Inner folders are searched, except other artifacts'; none are searched if
    the folder has a checkpoint.
    """
    named = {file.path for file in record.needed} if record else None
    holds_checkpoint = holds_weights(folder)
    pending = [folder]
    while pending:
        place = pending.pop()
        for path in sorted(place.iterdir()):
            name = path.relative_to(folder).as_posix()
            if path.is_dir():
                own = path.name.startswith(".") or (path / RECORD).exists() or holds_checkpoint or path.is_symlink()
                pending += [] if own else [path]
            elif backend.files.is_client_file(path):
                if name not in measured:
                    yield name
            elif named is not None and name not in named and any(fnmatch(path.name, pattern) for pattern in backend.files.data_patterns):
                yield name


def holds_weights(folder: Path) -> bool:
    """Whether a folder has a checkpoint's weights."""
    return any((folder / name).exists() for name in (WEIGHTS, WEIGHTS_INDEX, PICKLED_WEIGHTS, PICKLED_INDEX))
