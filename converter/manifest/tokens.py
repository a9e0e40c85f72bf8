"""A manifest as written: words and where they stand, not yet understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from converter.records import Position

Problem = tuple[Position, str]


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
