"""Prints the dependencies of the package and its tests without their ranges, so that pip installs the newest release of each."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_TESTS = ("pytest", "pytest-xdist", "hypothesis", "jsonschema")
"""Of the tools for development, those that the canary's tests run with."""


def names(pyproject: Path = PYPROJECT) -> Iterator[str]:
    """The distributions that the package and its tests depend on."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    for requirement in (*project["project"]["dependencies"], *_TESTS):
        name = _NAME.match(requirement)
        assert name, requirement
        yield name[0]


if __name__ == "__main__":
    print(*names())
