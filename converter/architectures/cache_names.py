"""The names of a model's cache in transformers, in one place.

transformers 5.24 renamed the argument and the result `past_key_values` to `cache`; a checkpoint's own code keeps its name. Artifacts
keep the documented names, `past_key_values.…` and `present.…`, with every version.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

CACHE_NAMES = ("past_key_values", "cache")
"""The names that transformers has had for the cache, the documented one first."""


def cache_argument(function: Callable[..., Any]) -> str:
    """Return the name under which a call takes the cache.

    Args:
        function: a model's `forward`, or another function of transformers that takes a cache.

    Returns: the first of CACHE_NAMES among its parameters; the documented name if it has neither.
    """
    parameters = inspect.signature(function).parameters
    return next((name for name in CACHE_NAMES if name in parameters), CACHE_NAMES[0])


def cache_of(result: Mapping[str, Any]) -> Any | None:
    """Return the cache that a call gave, under either name; None if it gave none."""
    keys = {*result}  # direct access would translate the old name and log a warning
    return next((result[name] for name in CACHE_NAMES if name in keys), None)
