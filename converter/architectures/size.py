"""`Size`: how large a set of inputs is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Size:
    """The size of a set of inputs.

    `sequence` counts the new tokens of a call, the decoder's if there are two; `past` the tokens in the decoder's cache; `source` the
    encoder's tokens, and `cached_source` those with keys and values in the cache. `pixels` is the height and width of images of any size;
    None if it follows from `sequence`.
    """

    batch: int = 2
    choice: int = 4
    sequence: int = 8
    past: int = 0
    source: int = 8
    cached_source: int = 0
    pixels: tuple[int, int] | None = None
