"""`Size`: how large a set of inputs is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a set of inputs is.

    `sequence` counts the tokens that are new in a call, the decoder's where there are two; `past` those in the decoder's cache;
    `source` the encoder's tokens, and `cached_source` how many of them the cache holds keys and values of. `pixels` is the height and
    width of images of any size; None for one that follows from `sequence`.
    """

    batch: int = 2
    choice: int = 4
    sequence: int = 8
    past: int = 0
    source: int = 8
    cached_source: int = 0
    pixels: tuple[int, int] | None = None
