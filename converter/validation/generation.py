"""Greedy generation: an artifact with a cache, fed its own cache back, against `generate` of transformers, token by token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from converter.architectures import OnnxConfig
from converter.architectures.dummies import MASKED_BY, draw
from converter.architectures.profiles import POSITIONS, positions
from converter.architectures.size import Size
from converter.backends.session import Session
from converter.core.errors import ConversionError
from converter.core.records import Generation
from converter.core.typing import Array
from converter.validation.reference import Generated, Reference
from converter.validation.tolerance import Tolerance

TOKENS = 6
_PROMPT = Size(batch=2, sequence=5, source=9)  # an encoder's text, or a decoder's first tokens, without padding


def compare_generation(
    session: Session, reference: Reference, config: OnnxConfig, rng: np.random.Generator, tolerance: Tolerance
) -> Generation | None:
    """Let both continue random texts by `TOKENS` tokens; None for a model that has no cache or gives no tokens.

    Each step begins from the tokens that transformers chose and from the artifact's own cache. A token that differs from
    transformers' is a tie where transformers itself held the two for equal within tolerance.
    """
    if not generates(config):
        return None
    inputs, expected = generate(reference, config, rng)
    try:
        logits = follow(session, inputs, expected.first, expected.tokens)
    except ConversionError as error:
        return Generation(tokens=0, equal=0, ties=0, error=error.message)
    chosen = logits.argmax(axis=-1)
    equal = chosen == expected.tokens
    best = np.take_along_axis(expected.logits, expected.tokens[..., None], axis=-1)[..., 0]
    ours = np.take_along_axis(expected.logits, chosen[..., None], axis=-1)[..., 0]
    ties = ~equal & (best - ours <= tolerance.at(best) + tolerance.at(ours))
    lost = float((best - ours)[~equal].max(initial=0.0))
    return Generation(tokens=equal.size, equal=int(equal.sum()), ties=int(ties.sum()), lost_lead=lost)


def generates(config: OnnxConfig) -> bool:
    """Whether a model has a cache and gives tokens."""
    return config.use_past and "logits" in config.outputs


def generate(reference: Reference, config: OnnxConfig, rng: np.random.Generator) -> tuple[Mapping[str, Array], Generated]:
    """Random texts, and the checkpoint's continuation by `TOKENS` tokens, or up to its last position."""
    longest = config.max_sequence_length
    prompt = replace(_PROMPT, sequence=min(_PROMPT.sequence, max(1, longest // 2)), source=min(_PROMPT.source, longest))
    inputs = draw(config, prompt, rng, dtype=reference.model.dtype)
    return inputs, reference.generate(inputs, min(TOKENS, longest - prompt.sequence))


def at_once(session: Session, inputs: Mapping[str, Array], first: Array | None, tokens: Array) -> Array:
    """The same logits (batch, steps, vocabulary) as `follow` gives, by one call over all tokens with nothing cached."""
    feed = dict(inputs)
    name = "input_ids" if first is None else "decoder_input_ids"
    feed[name] = np.concatenate([feed[name] if first is None else first, tokens[:, :-1]], axis=1)
    if MASKED_BY[name] in feed:
        feed[MASKED_BY[name]] = np.ones_like(feed[name])
    if POSITIONS in feed:
        feed[POSITIONS] = positions(feed[MASKED_BY[name]], feed[name].shape[1])
    result: Array = session.run(feed)["logits"][:, -tokens.shape[1] :]
    return result


def follow(session: Session, inputs: Mapping[str, Array], first: Array | None, tokens: Array) -> Array:
    """The artifact's logits (batch, steps, vocabulary) for the next token at each step, with a cache that grows from empty.

    `first` are the first tokens of a separate decoder; None if the prompt itself is continued.
    """
    feed = dict(inputs)
    name = "input_ids" if first is None else "decoder_input_ids"
    if first is not None:
        feed[name] = first
    seen = []
    length = 0
    for step in range(tokens.shape[1]):
        length += feed[name].shape[1]
        if MASKED_BY[name] in feed:
            feed[MASKED_BY[name]] = np.ones((len(tokens), length), np.int64)
        if POSITIONS in feed:
            feed[POSITIONS] = positions(feed[MASKED_BY[name]], feed[name].shape[1])
        outputs = session.run(feed)
        seen.append(outputs["logits"][:, -1])
        feed |= {f"past_key_values{key.removeprefix('present')}": array for key, array in outputs.items() if key.startswith("present.")}
        feed[name] = tokens[:, step : step + 1]
    return np.stack(seen, axis=1)
