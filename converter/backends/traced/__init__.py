"""Shared by TorchScript and Neuron: a model traced at one shape, its archive, and a process to run it."""

from __future__ import annotations

from pydantic_core import PydanticCustomError

from converter.architectures import FEATURES


def without_cache(feature: str | None) -> str | None:
    """Return the feature, or refuse one with a cache and name another: a trace handles tensors only."""
    entry = FEATURES.get(feature or "")
    if entry and entry.use_past:
        raise PydanticCustomError("feature", "a trace has no cache; choose {task}", {"task": entry.task})
    return feature
