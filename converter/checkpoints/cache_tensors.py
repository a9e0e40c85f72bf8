"""A key-value cache as named tensors: `past_key_values.0.key` makes one, and `present.0.key` is read from one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache

CACHE = "past_key_values"
"""The prefix of a cache's inputs, before the layer and the part."""


def make_arguments(inputs: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return the keyword arguments of a call, with the cache that the tensors `past_key_values.…` make."""
    arguments: dict[str, Any] = {name: tensor for name, tensor in inputs.items() if not name.startswith(f"{CACHE}.")}
    if f"{CACHE}.0.key" in inputs:
        arguments[CACHE] = _cache(inputs, "")
    elif f"{CACHE}.0.decoder.key" in inputs:
        arguments[CACHE] = EncoderDecoderCache(_cache(inputs, "decoder."), _cache(inputs, "encoder."))
    return arguments


def _cache(inputs: Mapping[str, torch.Tensor], stack: str) -> DynamicCache:
    layers = sum(name.endswith(f".{stack}key") for name in inputs)
    return DynamicCache([(inputs[f"{CACHE}.{layer}.{stack}key"], inputs[f"{CACHE}.{layer}.{stack}value"]) for layer in range(layers)])


def cached_tensor(cache: Any, place: Sequence[str]) -> torch.Tensor | None:
    """Return the tensor of a cache at `3.key` or `3.decoder.key`."""
    layer, *stack, part = place
    if stack:
        cache = cache.self_attention_cache if stack == ["decoder"] else cache.cross_attention_cache
    held = cache.layers[int(layer)]
    tensor: torch.Tensor | None = {"key": held.keys, "value": held.values}.get(part)
    return tensor
