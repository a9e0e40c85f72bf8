"""Inputs for a model, made from its configuration."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from converter.architectures.config import OnnxConfig
from converter.architectures.config_with_past import OnnxConfigWithPast
from converter.architectures.documented_inputs import PYTORCH, flat
from converter.architectures.size import Size
from converter.core.errors import NotSupportedError
from converter.core.typing import Array

Padding = Literal["none", "left", "right", "both", "holes"]

MASKED_BY: Mapping[str, str] = {"input_ids": "attention_mask", "decoder_input_ids": "decoder_attention_mask"}
"""Which mask says which of the tokens are padding; with a cache its first columns are the cache's."""

_CACHE = "past_key_values"


def make_inputs(
    config: OnnxConfig,
    size: Size,
    rng: np.random.Generator,
    padding: Padding = "none",
    dtype: str = "float32",
    preprocessor: Any = None,
) -> dict[str, Array]:
    """Inputs of a size: from `config.generate_dummy_inputs` if a subclass overrides it, otherwise random; see `draw`.

    Raises NotSupportedError for a declared input that cannot be made.
    """
    if not makes_its_own(config):
        return draw(config, size, rng, padding, dtype)
    asked: dict[str, Any] = {"batch_size": size.batch, "seq_length": size.sequence, "num_choices": size.choice, "framework": PYTORCH}
    parameters = inspect.signature(config.generate_dummy_inputs).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        asked = {name: value for name, value in asked.items() if name in parameters}  # not every documented class takes them all
    made = flat(config.generate_dummy_inputs(preprocessor, **asked))
    missing = [name for name in config.inputs if name not in made]
    if missing:
        raise NotSupportedError(
            f"{type(config).__name__}.generate_dummy_inputs gives no {', '.join(missing)}", f"it gives: {', '.join(made) or 'nothing'}"
        )
    inputs = {name: made[name].astype(dtype) if made[name].dtype.kind == "f" else made[name] for name in config.inputs}
    if padding != "none":
        inputs |= {name: _mask(inputs[name].shape, rng, padding) for name in MASKED_BY.values() if name in inputs}
        _pad(config, inputs)
    return inputs


def makes_its_own(config: OnnxConfig) -> bool:
    """Whether a configuration overrides `generate_dummy_inputs`."""
    return type(config).generate_dummy_inputs not in (OnnxConfig.generate_dummy_inputs, OnnxConfigWithPast.generate_dummy_inputs)


def draw(config: OnnxConfig, size: Size, rng: np.random.Generator, padding: Padding = "none", dtype: str = "float32") -> dict[str, Array]:
    """Random inputs: int64 indices over all that the model has an embedding for, masks of 0 and 1, a normal cache of type `dtype`.

    Padded left, right or on both sides, each row but the first has a random number of its positions masked, at least one of them left;
    the first row is whole, so that the length is really used. With holes a quarter of all positions is masked, wherever they are, but never
    a row's last. The first index of all is the largest there is, so that an embedding's end is tried too.

    Masked positions hold the padding token, as some models count positions by it, and no other position does: a model gives
    nothing there to go by (float32 itself puts all-MiniLM-L6-v2 off by 8e-5 at an unmasked padding token, 5e-6 elsewhere).
    """
    lengths = lengths_at(config, size)
    inputs: dict[str, Array] = {}
    for name in config.inputs:
        shape = _shape(config, name, lengths)
        if name.startswith(f"{_CACHE}."):
            inputs[name] = rng.standard_normal(shape).astype(dtype)
        elif name in MASKED_BY.values():
            inputs[name] = _mask(shape, rng, padding)
        elif name in config.vocab_sizes:
            inputs[name] = rng.integers(0, config.vocab_sizes[name], shape, dtype=np.int64)
            inputs[name].flat[:1] = config.vocab_sizes[name] - 1
        else:
            drawn = config.draw(name, shape, rng)
            inputs[name] = drawn.astype(dtype) if drawn.dtype.kind == "f" else drawn
    _pad(config, inputs)
    config.settle(inputs)
    return inputs


def lengths_at(config: OnnxConfig, size: Size) -> dict[str, int]:
    """How long each axis of the inputs is at a size, by its name; one that only its maker knows is a batch or a sequence."""
    known = config.axis_lengths(size)
    axes = [item for labels in config.inputs.values() for item in labels.items()]
    return {label: known.get(label, size.batch if axis == 0 else size.sequence) for axis, label in axes}


def within(config: OnnxConfig, size: Size, longest: Mapping[str, int]) -> Size:
    """The size, cut to what some axes, by name, are at most."""
    for part in ("batch", "choice", "sequence", "source"):
        value = getattr(size, part)
        now, more = lengths_at(config, size), lengths_at(config, replace(size, **{part: value + 1}))
        size = replace(size, **{part: min([value, *(limit for label, limit in longest.items() if now.get(label) != more.get(label))])})
    return size


def _shape(config: OnnxConfig, name: str, lengths: Mapping[str, int]) -> tuple[int, ...]:
    axes, fixed = config.inputs[name], config.fixed_dims(name)
    return tuple(fixed[axis] if axis in fixed else lengths[axes[axis]] for axis in sorted({*axes, *fixed}))


def _pad(config: OnnxConfig, inputs: dict[str, Array]) -> None:
    if config.pad_token_id is None:
        return
    for name, mask in MASKED_BY.items():
        if name in inputs and mask in inputs:
            tokens = inputs[name]
            tokens[tokens == config.pad_token_id] = 1 if config.pad_token_id == 0 else 0
            tokens[inputs[mask][..., inputs[mask].shape[-1] - tokens.shape[-1] :] == 0] = config.pad_token_id


def _mask(shape: tuple[int, ...], rng: np.random.Generator, padding: Padding) -> Array:
    length = shape[-1]
    if padding == "holes":
        holes = rng.random(shape) < 0.25
        holes[..., -1:] = False
        return (~holes).astype(np.int64)
    rows = math.prod(shape[:-1])
    kept = rng.integers(min(1, length), length + 1, rows) if padding != "none" else np.full(rows, length)
    kept[0] = length
    begin = {"left": length - kept, "both": rng.integers(0, length - kept + 1)}.get(padding, np.zeros_like(kept))[:, None]
    positions = np.arange(length)
    mask = (begin <= positions) & (positions < begin + kept[:, None])
    return mask.astype(np.int64).reshape(shape)
