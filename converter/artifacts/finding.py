"""Find the artifacts at a path of a user's."""

from __future__ import annotations

from pathlib import Path

from converter.backends import BACKENDS, Backend
from converter.core.errors import UsageError


def find_artifacts(path: Path) -> list[tuple[Backend, Path]]:
    """The artifacts at a path: the file's folder, the folder itself, or one folder per backend in it. Raises UsageError for none."""
    folder = path if path.is_dir() else path.parent
    places = [(backend, place) for backend in BACKENDS.values() for place in (folder, folder / backend.name)]
    artifacts = [(backend, place) for backend, place in places if backend.files.main_in(place)]
    if not artifacts or (path.is_file() and not any(path.name in backend.files.names for backend in BACKENDS.values())):
        names = ", ".join(backend.files.main for backend in BACKENDS.values())
        raise UsageError(f"no artifact at {path}: no {names}", "name a folder that the converter wrote, or a file in it")
    return artifacts
