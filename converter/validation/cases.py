"""The inputs that validation tries: other shapes than the one captured, padding on both sides, real sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.architectures import OnnxConfig
from converter.checkpoints.samples import Array, Padding, sample_inputs
from converter.errors import reason

# Written for this test: short and long, with numbers, accents, another script and an emoji.
SENTENCES = (
    "The ferry leaves at seven.",
    "Nobody had expected the old bridge to hold, yet by noon more than four hundred carts had crossed it.",
    "Où est la clé de la bibliothèque ?",
    "In 1987 the factory made 12,450 bicycles; ten years later it made none.",
    "Good soup needs time 🍲 and salt.",
    "東京は雨です。",
)


@dataclass(frozen=True)
class Inputs:
    """One case: its name, the length of each named axis, and the arrays."""

    name: str
    axes: Mapping[str, int]
    arrays: Mapping[str, Array]


def grid(config: OnnxConfig, rng: np.random.Generator) -> Iterator[Inputs]:
    """Random inputs at batch 1, 2, 3 and 5, at lengths from one token to the model's maximum."""
    longest = config.max_sequence_length
    shapes: tuple[tuple[str, int, int, int, Padding], ...] = (
        ("documented sample", 2, 2, min(8, longest), "none"),
        ("one token", 1, 1, 1, "none"),
        ("longest, masked here and there", 1, 4, longest, "holes"),
        ("padded right", 5, 2, min(33, longest), "right"),
        ("padded left", 3, 3, min(17, longest), "left"),
    )
    for name, batch, choice, sequence, padding in shapes:
        lengths = {"batch": batch, "choice": choice, "sequence": sequence}
        arrays = sample_inputs(config, lengths, rng, padding)
        yield Inputs(name, {label: lengths[label] for label in _labels(config)}, arrays)


def text(config: OnnxConfig, tokenizer: Any, rng: np.random.Generator) -> Inputs:
    """Real sentences, padded to the longest, as the checkpoint's own tokenizer gives them.

    Raises ValueError, in a sentence, where the tokenizer does not fit the model.
    """
    padded = tokenizer.pad_token is not None
    length = config.max_sequence_length if padded else 4  # without padding all sentences need one length
    try:
        encoded = tokenizer(list(SENTENCES), padding=padded, truncation=True, max_length=length, return_tensors="np")
    except Exception as error:  # a tokenizer that does not work raises whatever its parts raise
        raise ValueError(f"the tokenizer fails: {reason(error)}") from error
    sequence = encoded["input_ids"].shape[1]
    shape: tuple[int, ...] = (len(SENTENCES), sequence)
    lengths = {"batch": len(SENTENCES), "sequence": sequence}
    if "choice" in _labels(config):
        shape = (len(SENTENCES) // 2, 2, sequence)
        lengths = {"batch": shape[0], "choice": 2, "sequence": sequence}
    arrays = sample_inputs(config, lengths, rng)
    arrays |= {name: encoded[name].astype(np.int64).reshape(shape) for name in arrays if name in encoded}
    for name, limit in config.vocab_sizes.items():
        if name in arrays and arrays[name].max() >= limit:
            raise ValueError(f"the tokenizer gives {name} up to {arrays[name].max()}, the model knows {limit}")
    return Inputs("sentences", lengths, arrays)


def variations(config: OnnxConfig, rng: np.random.Generator) -> tuple[Inputs, Mapping[str, Inputs]]:
    """A base case and, for each input, the same with that input alone changed."""
    lengths = {"batch": 2, "choice": 2, "sequence": min(9, config.max_sequence_length)}
    base = sample_inputs(config, lengths, rng)
    changed = {}
    for name, array in base.items():
        if name == "attention_mask":
            other = array.copy()
            other[..., -(lengths["sequence"] // 2) :] = 0
        else:
            other = (array + 1) % config.vocab_sizes[name]
        changed[name] = Inputs(f"{name} changed", lengths, {**base, name: other})
    return Inputs("base", lengths, base), changed


def _labels(config: OnnxConfig) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label for axes in config.inputs.values() for label in axes.values()))
