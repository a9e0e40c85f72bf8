"""Names are the field's terms: names that say nothing, and replaced ones, do not come back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAY_NOTHING = frozenset({"found", "each", "told", "given", "taken"})
REPLACED = frozenset(
    {
        *("Begun", "Derived", "FlatDecoder", "FlatEncoder", "FlatModel", "Gauge", "Happened", "Loss", "LossGauge", "Marker", "MeasuredBy"),
        *("Parcel", "PartSignature", "PartsSession", "PassingError", "Question", "Recipe", "announced", "carry_out", "claimed", "conclude"),
        *("divergence", "find_done", "job_key", "lent", "look_ahead", "made_beside", "measured_by", "only_at", "otherwise", "passing"),
        *(
            "RightsError",
            "Found",
            "_Found",
            "_told",
            "_told_plainly",
            "taken_by",
            "told_once",
            "defaults_beside",
            "has_exact",
            "is_lack_of_memory",
            "shortfall",
            "spared_bits",
            "told_by_the_hub",
            "unforeseen",
            "what_it_is",
        ),
    }
)
FOLDERS = {"converter": SAY_NOTHING | REPLACED, "tests": SAY_NOTHING, "bench": SAY_NOTHING}
SOURCES = [(path, words) for folder, words in FOLDERS.items() for path in sorted((ROOT / folder).rglob("*.py"))]


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each name that a module gives or uses, with its line; hypothesis' `given` is a library's."""
    libraries = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "hypothesis"]
    imported = {alias.name for node in libraries for alias in node.names}
    for node in ast.walk(tree):
        for name in (getattr(node, field, None) for field in ("id", "attr", "arg", "name", "asname")):
            if isinstance(name, str) and name not in imported:
                yield getattr(node, "lineno", 0), name


def test_the_test_sees_names_in_every_place_that_has_one() -> None:
    tree = ast.parse("def found(each, *, told=1):\n    given.taken = f'{passing}'\nimport x as lent\n")
    assert {name for _, name in identifiers(tree)} >= {*SAY_NOTHING, "passing", "lent"}


@pytest.mark.parametrize(("path", "words"), SOURCES, ids=[str(path.relative_to(ROOT)) for path, _ in SOURCES])
def test_no_name_says_nothing_or_was_replaced(path: Path, words: frozenset[str]) -> None:
    used = {f"{name} in line {line}" for line, name in identifiers(ast.parse(path.read_text(encoding="utf-8"))) if name in words}
    assert used == set()
