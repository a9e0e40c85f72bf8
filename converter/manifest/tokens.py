"""A manifest as words and their places, before parsing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from converter.core.records import Position

Problem = tuple[Position, str]

LONGEST = 4096
"""Characters of a word: as many as Linux takes for a path, which is the longest that a word can be."""
MOST_PROBLEMS = 10_000
"""The limit of problems: a file with more is not a manifest, and each problem stays in memory."""


@dataclass(frozen=True)
class Token:
    """A piece of text and its place."""

    text: str
    position: Position


@dataclass(frozen=True)
class RawEntry:
    """A model and its settings, as written."""

    model: Token
    settings: Mapping[str, Token] = field(default_factory=dict)
