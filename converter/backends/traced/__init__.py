"""What TorchScript and Neuron share: a model traced at one shape, its archive on disk, and that archive run in a process of its own."""

from __future__ import annotations

from pydantic_core import PydanticCustomError

from converter.architectures import FEATURES


def without_cache(feature: str | None) -> str | None:
    """Give the feature back, or say which to choose in place of one that has a cache: that is no tensor, and a trace knows nothing else."""
    entry = FEATURES.get(feature or "")
    if entry and entry.use_past:
        raise PydanticCustomError("feature", "a trace has no cache; choose {task}", {"task": entry.task})
    return feature
