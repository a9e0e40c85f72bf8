"""The folder that conversions share their results in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cache:
    """A folder of results that later conversions may reuse, if the versions are the same."""

    folder: Path
    versions: Mapping[str, str]
