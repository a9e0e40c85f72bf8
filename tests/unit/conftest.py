"""What every unit test has: property tests that do not depend on how fast the machine is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from converter.core.errors import ManifestError
from converter.core.records import Entry
from converter.manifest import read_manifest

settings.register_profile("unit", deadline=None, max_examples=200)
settings.load_profile("unit")

WriteManifest = Callable[..., Path]


@pytest.fixture
def manifest(tmp_path: Path) -> WriteManifest:
    """Writes a manifest and returns its path: `manifest("gpt2\\n")`, `manifest("models: [gpt2]", "models.yaml")`."""

    def write(text: str | bytes, name: str = "models.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
        return path

    return write


@pytest.fixture
def entries_of(manifest: WriteManifest) -> Callable[..., tuple[Entry, ...]]:
    """The entries of a manifest that is right."""
    return lambda text, name="models.txt": read_manifest(manifest(text, name))


@pytest.fixture
def problems_of(manifest: WriteManifest) -> Callable[..., list[tuple[int, int, str]]]:
    """Line, column and sentence of every problem of a manifest that is wrong."""

    def read(text: str | bytes, name: str = "models.txt") -> list[tuple[int, int, str]]:
        with pytest.raises(ManifestError) as caught:
            read_manifest(manifest(text, name))
        return [(position.line, position.column, problem) for position, problem in caught.value.problems]

    return read
