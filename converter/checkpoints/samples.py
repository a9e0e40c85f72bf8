"""Inputs for a model, made from what its configuration says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from converter.architectures.config import OnnxConfig

Array = np.ndarray[Any, np.dtype[Any]]
Padding = Literal["none", "left", "right"]


def sample_inputs(config: OnnxConfig, axes: Mapping[str, int], rng: np.random.Generator, padding: Padding = "none") -> dict[str, Array]:
    """Random int64 inputs: indices over all that the model has an embedding for, masks of 0 and 1.

    `axes` gives each named axis its length. With padding each row but the first has a random number of its positions
    masked, at least one of them left; the first row is whole, so that the length is really used.
    """
    inputs: dict[str, Array] = {}
    for name, labels in config.inputs.items():
        shape = tuple(axes[labels[axis]] for axis in sorted(labels))
        if name == "attention_mask":
            inputs[name] = _mask(shape, rng, padding)
        elif name in config.vocab_sizes:
            inputs[name] = rng.integers(0, config.vocab_sizes[name], shape, dtype=np.int64)
        else:
            raise ValueError(f"nothing says what the input {name!r} may hold")
    return inputs


def _mask(shape: tuple[int, ...], rng: np.random.Generator, padding: Padding) -> Array:
    length = shape[-1]
    rows = int(np.prod(shape[:-1]))
    kept = rng.integers(1, length + 1, rows) if padding != "none" else np.full(rows, length)
    kept[0] = length
    positions = np.arange(length)
    mask = positions >= length - kept[:, None] if padding == "left" else positions < kept[:, None]
    return mask.astype(np.int64).reshape(shape)
