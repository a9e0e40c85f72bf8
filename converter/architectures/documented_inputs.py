"""The documented form of inputs, with a tuple of tensors for each layer of the cache, and the flat form of an exported model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converter.core.typing import Array

PYTORCH = "pt"
"""What transformers calls torch's tensors."""

_CACHE = "past_key_values"


def nested(inputs: Mapping[str, Array], framework: str) -> dict[str, Any]:
    """Inputs in the documented form: the cache under `past_key_values`, a tuple for each layer; torch tensors for PYTORCH."""
    values: Mapping[str, Any] = inputs
    if framework == PYTORCH:
        import torch

        values = {name: torch.from_numpy(array) for name, array in inputs.items()}
    layers: dict[str, list[Any]] = {}
    result: dict[str, Any] = {}
    for name, value in values.items():
        if name.startswith(f"{_CACHE}."):
            result.setdefault(_CACHE, [])
            layers.setdefault(name.split(".")[1], []).append(value)
        else:
            result[name] = value
    if layers:
        result[_CACHE] = [tuple(layer) for layer in layers.values()]
    return result


def flat(inputs: Mapping[str, Any]) -> dict[str, Array]:
    """Inputs in the documented form as arrays under the names that an exported model has for them."""
    result: dict[str, Array] = {}
    for name, value in inputs.items():
        if name != _CACHE:
            result[name] = np.asarray(value)
            continue
        for index, layer in enumerate(value):
            parts = ("key", "value") if len(layer) == 2 else ("decoder.key", "decoder.value", "encoder.key", "encoder.value")
            result |= {f"{_CACHE}.{index}.{part}": np.asarray(tensor) for part, tensor in zip(parts, layer, strict=True)}
    return result
