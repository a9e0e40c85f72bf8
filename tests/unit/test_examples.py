"""The examples match their descriptions."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter.manifest import read_manifest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.txt")))
def test_an_example_is_a_manifest(name: str) -> None:
    assert read_manifest(EXAMPLES / name)


def test_the_example_of_the_hub_names_hub_ids_and_the_other_a_folder() -> None:
    assert all(entry.source.folder is None for entry in read_manifest(EXAMPLES / "hub.txt"))
    assert all(entry.source.folder for entry in read_manifest(EXAMPLES / "models.txt"))
