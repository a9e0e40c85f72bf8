"""Inputs for a model, made from what its configuration says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from converter.architectures.config import OnnxConfig

Array = np.ndarray[Any, np.dtype[Any]]
Padding = Literal["none", "left", "right", "holes"]


def sample_inputs(config: OnnxConfig, axes: Mapping[str, int], rng: np.random.Generator, padding: Padding = "none") -> dict[str, Array]:
    """Random int64 inputs: indices over all that the model has an embedding for, masks of 0 and 1.

    `axes` gives each named axis its length. Padded left or right, each row but the first has a random number of its
    positions masked, at least one of them left; the first row is whole, so that the length is really used. With holes
    a quarter of all positions is masked, wherever they are, but never a row's last. The first index of all is the largest
    there is, so that an embedding's end is tried too.

    Masked positions hold the padding token, as some models count positions by it, and no other position does: a model gives
    nothing there to go by (float32 itself puts all-MiniLM-L6-v2 off by 8e-5 at an unmasked padding token, 5e-6 elsewhere).
    """
    inputs: dict[str, Array] = {}
    for name, labels in config.inputs.items():
        shape = tuple(axes[labels[axis]] for axis in sorted(labels))
        if name == "attention_mask":
            inputs[name] = _mask(shape, rng, padding)
        elif name in config.vocab_sizes:
            inputs[name] = rng.integers(0, config.vocab_sizes[name], shape, dtype=np.int64)
            inputs[name].flat[0] = config.vocab_sizes[name] - 1
        else:
            raise ValueError(f"nothing says what the input {name!r} may hold")
    if config.pad_token_id is not None:
        tokens = inputs["input_ids"]
        tokens[tokens == config.pad_token_id] = 1 if config.pad_token_id == 0 else 0
        tokens[inputs["attention_mask"] == 0] = config.pad_token_id
    return inputs


def _mask(shape: tuple[int, ...], rng: np.random.Generator, padding: Padding) -> Array:
    length = shape[-1]
    if padding == "holes":
        holes = rng.random(shape) < 0.25
        holes[..., -1] = False
        return (~holes).astype(np.int64)
    rows = int(np.prod(shape[:-1]))
    kept = rng.integers(1, length + 1, rows) if padding != "none" else np.full(rows, length)
    kept[0] = length
    positions = np.arange(length)
    mask = positions >= length - kept[:, None] if padding == "left" else positions < kept[:, None]
    return mask.astype(np.int64).reshape(shape)
