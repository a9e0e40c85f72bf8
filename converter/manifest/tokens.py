"""A manifest as written: words and where they stand, not yet understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from converter.core.records import Position

Problem = tuple[Position, str]

LONGEST = 4096
"""Characters of a word: as many as Linux takes for a path, which is the longest that a word can be."""
MOST_PROBLEMS = 10_000
"""After so many a file is read no further: it is no manifest, and each problem is kept until all are told."""


@dataclass(frozen=True)
class Token:
    """A piece of text and where it stands."""

    text: str
    position: Position


@dataclass(frozen=True)
class RawEntry:
    """A model and its settings, as written."""

    model: Token
    settings: Mapping[str, Token] = field(default_factory=dict)
