"""Versions of the distributions that shape an artifact."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import converter


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of the installed `packages`, and this package's."""
    versions = {"converter": converter.__version__}
    for package in packages:
        with suppress(PackageNotFoundError):  # an SDK that is not installed shapes nothing
            versions[package] = _version(package, tuple(sys.path))
    return versions


@functools.cache
def _version(package: str, _: tuple[str, ...]) -> str:
    """Look up a version once per path: it takes a millisecond, and a batch asks for every job."""
    return version(package)
