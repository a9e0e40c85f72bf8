"""Inputs and results of documented rows, made with transformers alone: the package's own makers and callers take no part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers
from packaging.version import Version
from transformers import DynamicCache, EncoderDecoderCache

Arrays = dict[str, Any]
HEADS, HEAD_SIZE, VOCABULARY = 4, 8, 119
CACHE = "cache" if Version(transformers.__version__) >= Version("5.24") else "past_key_values"
"""The argument and the result that transformers renamed in 5.24."""


@dataclass(frozen=True)
class Shape:
    """Lengths that are neither the capture's nor the validation's."""

    batch: int
    new: int
    past: int = 0
    source: int = 0
    held: int = 0
    choice: int = 1


def shapes_of(feature: str, model_type: str) -> Iterator[Shape]:
    """Shapes that a row's artifact has to take."""
    if (feature, model_type) in (("sequence-classification", "bart"), ("sequence-classification", "mbart")):
        yield from (Shape(1, 6, source=6), Shape(4, 31, source=31))  # it reads the decoder at the end of the encoder's text
    elif not feature.endswith("-with-past"):
        yield from (Shape(1, 2, source=3, choice=1), Shape(4, 21, source=14, choice=5), Shape(7, 38, source=36, choice=2))
    else:
        yield from (Shape(1, 3, source=4), Shape(3, 1, 13, 6, 6), Shape(4, 5, 30, 22, 22), Shape(2, 7, 0, 9, 9))


def inputs_of(names: Sequence[str], model: Any, shape: Shape) -> Arrays:
    """Inputs made without the package's own; nothing is padded, so that every element counts."""
    rng = np.random.default_rng(7)
    config = model.config
    two_stacks = "decoder_input_ids" in names
    first = shape.source if two_stacks else shape.new
    made: Arrays = {}
    for name in names:
        if name.startswith("past_key_values."):
            length = shape.held if ".encoder." in name else shape.past
            made[name] = rng.standard_normal((shape.batch, HEADS, length, HEAD_SIZE)).astype(np.float32)
        elif name == "bbox":
            made[name] = np.sort(rng.integers(0, 50, (shape.batch, shape.new, 2, 2)), axis=2).reshape(shape.batch, shape.new, 4)
        else:
            length = {"input_ids": first, "attention_mask": first if two_stacks else shape.past + shape.new}.get(name, shape.new)
            if name == "decoder_attention_mask":
                length = shape.past + shape.new
            choice = (shape.choice,) if type(model).__name__.endswith("MultipleChoice") else ()
            limits = {"token_type_ids": (0, 2), "global_attention_mask": (0, 2)}.get(name, (1, 2) if "mask" in name else (3, VOCABULARY))
            made[name] = rng.integers(*limits, (shape.batch, *choice, length), dtype=np.int64)
    if type(model).__name__.endswith("BartForSequenceClassification"):
        made["input_ids"][:, -1] = config.eos_token_id
    return made


def reference(model: Any, inputs: Arrays, outputs: list[str]) -> Arrays:
    """What transformers gives, with a cache made and read by hand."""
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    past = [tensors.pop(name) for name in list(tensors) if name.startswith("past_key_values.")]
    if past and "past_key_values.0.key" in inputs:
        tensors[CACHE] = DynamicCache(list(zip(past[::2], past[1::2], strict=True)))
    elif past:
        own, cross = (list(zip(past[start::4], past[start + 1 :: 4], strict=True)) for start in (0, 2))
        tensors[CACHE] = EncoderDecoderCache(DynamicCache(own), DynamicCache(cross))
    model.config.use_cache = bool(past)  # BART's own cache is too short if its decoder has more layers than its encoder
    if model.config.model_type in ("gpt2", "gpt_neo"):
        model.config.pad_token_id = 0  # as documented for a classifier that has none
    with torch.no_grad():
        result = model(**tensors, return_dict=True)
    arrays: Arrays = {name: result[name].numpy() for name in outputs if not name.startswith("present.")}
    for name in outputs:
        if name.startswith("present."):
            _, layer, *stack, part = name.split(".")
            cache = result[CACHE]
            if stack:
                cache = cache.self_attention_cache if stack == ["decoder"] else cache.cross_attention_cache
            held = cache.layers[int(layer)]
            arrays[name] = (held.keys if part == "key" else held.values).numpy()
    return arrays
