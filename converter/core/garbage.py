"""Garbage collection that looks at new objects alone: torch and transformers are half a million, which take 0.3 s."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_ALLOCATIONS = 20_000
"""New objects between two collections. With Python's 700, the imports of a first export cost 0.45 s more (bert, one layer)."""


@contextmanager
def collected() -> Iterator[None]:
    """Collect at the end what has become garbage inside, and rarely before.

    A heap that is frozen already stays as it is: what was made since then is collected.
    """
    freeze = not gc.get_freeze_count()
    first, *others = gc.get_threshold()
    if freeze:
        gc.freeze()
    if first:  # 0 is none at all
        gc.set_threshold(max(first, _ALLOCATIONS), *others)
    try:
        yield
        gc.collect()
    finally:
        gc.set_threshold(first, *others)
        if freeze:
            gc.unfreeze()
