"""How a variant is measured: by inputs that are made once, against a checkpoint that computes in float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from converter.architectures import OnnxConfig
from converter.backends.session import Session
from converter.core.errors import ConversionError, InputError
from converter.core.records import AccuracyDrop, Tier
from converter.core.typing import Array
from converter.validation.accuracy.metrics import Decisions, Embeddings, LanguageModel, Metric, Outputs
from converter.validation.accuracy.texts import Texts
from converter.validation.accuracy.tiers import tier_violations
from converter.validation.case_inputs import InputGenerator, Inputs
from converter.validation.interface import run
from converter.validation.reference import Reference

_BATCH = 8
_LONGEST = 128
"""Tokens of the longest text; longer ones are cut."""
_ENOUGH_TEXTS = 64
"""Of a model that decides at every token: it decides some thousand times in as many."""
_STEPS = 16
"""Tokens that a model with an encoder goes on by, as the checkpoint chooses them."""
_KEPT = 2**28
"""Bytes of checkpoint outputs that are kept; the rest is computed again each time."""
_AT_RANDOM = 24
"""Tokens of a random input, about as many as in a built-in sentence."""
_SAMPLES = 4
"""Batches that are enough to see how large values become: from the shortest texts to the longest."""
_SHORT = (1, 2)
"""Tokens of two more inputs to calibrate by: activations of a text of one token are larger than any sentence's."""
_SEED = 20261126
_AIMED = 0.7
"""The share of a tier's bounds for the choosing texts: they are fewer, so their worst is better."""


class AccuracyEvaluator:
    """Measures the accuracy drop of an artifact against a checkpoint: on the inputs for choosing, and separately on the final ones."""

    def __init__(self, reference: Reference, config: OnnxConfig, tokenizer: Any | None, texts: Texts, tier: Tier) -> None:
        self._reference, self._config = reference, config
        self._aim: Tier = "lossy" if tier == "any" else tier
        self._generator = InputGenerator(config, reference.model.dtype, tokenizer, np.random.default_rng(_SEED), ())
        middle = sorted(texts.final, key=len)[len(texts.final) // 2 :][: self._choices]
        parts = (middle, self._few(texts.calibration), self._few(texts.choice), self._few(texts.final))
        try:
            made = [[*self._of_texts(part)] for part in parts]
            self._of, self._is_text = texts.of, True
        except ValueError as error:
            made = [[*self._at_random(part)] for part in parts]
            self._of, self._is_text = f"random inputs: {error}", False
        single, self._to_calibrate, choice, final = made
        self.single = self._continued(single[0])
        self.sample = self._continued(final[len(final) // 2])
        self.inputs = sum(map(_rows, choice))
        chosen = [*map(self._continued, choice)]
        self.samples = [chosen[place].arrays for place in sorted({*np.linspace(0, len(chosen) - 1, _SAMPLES, dtype=int).tolist()})]
        self._choice, self._final = _Side(reference, chosen), _Side(reference, [*map(self._continued, final)])

    @cached_property
    def calibration(self) -> Sequence[Mapping[str, Array]]:
        """The inputs for calibration, made on first use; a decoder's are the checkpoint's continuation."""
        short = [self._generator.at_random(rows, rows) for rows in _SHORT]
        return [self._continued(inputs).arrays for inputs in (*self._to_calibrate, *short)]

    def float32_weights(self, dtype: str) -> frozenset[str]:
        """The weights that transformers keeps in float32 when it loads the checkpoint in `dtype`."""
        return self._reference.model.float32_weights(dtype)

    def attempt(self, session: Session) -> tuple[bool, float]:
        """Whether an artifact keeps to the tier on the inputs to choose by, and how far it is off."""
        accuracy_drop = self._measure(session, self._choice)
        return not any(
            tier_violations(accuracy_drop, self._aim, _AIMED)
        ), accuracy_drop.distance if accuracy_drop.distance == accuracy_drop.distance else float("inf")

    def accuracy_drop(self, session: Session) -> AccuracyDrop:
        """The accuracy drop on the final inputs. Raises ConversionError if the runtime fails."""
        return self._measure(session, self._final)

    def _measure(self, session: Session, side: _Side) -> AccuracyDrop:
        metric = self._metric()
        for inputs, expected in side.batches():
            try:
                outputs = run(session, inputs.arrays)
            except InputError as error:
                raise ConversionError(error.message, error.hint) from error
            metric.add(inputs, outputs, expected)
        return metric.accuracy_drop(self._of)

    def _metric(self) -> Metric:
        feature = self._config.feature
        tokens = next((name for name in _DECODED if name in self._config.inputs), None)
        if feature.generates and "logits" in self._config.outputs and tokens:
            return LanguageModel(self._config, tokens)
        return Decisions(self._config) if feature.decides else Embeddings(self._config, has_neighbours=self._is_text)

    def _few(self, texts: Sequence[str]) -> Sequence[str]:
        """As many of the texts as the metric has use for."""
        is_whole = self._config.feature.task in ("default", "sequence-classification", "multiple-choice")
        return texts if is_whole else texts[:_ENOUGH_TEXTS]

    def _of_texts(self, texts: Sequence[str]) -> Iterator[Inputs]:
        """The texts in batches of similar lengths, padded on the right; one text per batch if the tokenizer has no padding."""
        rows = 1 if self._generator.tokenizer is None or self._generator.tokenizer.pad_token is None else _BATCH * self._choices
        ordered = sorted(texts, key=len)
        for start in range(0, len(ordered) - self._choices + 1, max(rows, self._choices)):
            batch = ordered[start : start + max(rows, self._choices)]
            yield self._generator.of_texts(batch[: len(batch) // self._choices * self._choices], _LONGEST)

    def _at_random(self, texts: Sequence[str]) -> Iterator[Inputs]:
        """Random inputs instead of texts."""
        for start in range(0, len(texts), _BATCH):
            yield self._generator.at_random(min(_BATCH, len(texts) - start), _AT_RANDOM)

    @property
    def _choices(self) -> int:
        return 2 if any(label == "choice" for axes in self._config.inputs.values() for label in axes.values()) else 1

    def _continued(self, inputs: Inputs) -> Inputs:
        """The inputs with the checkpoint's own continuation, for a decoder with separate tokens."""
        if "decoder_input_ids" not in inputs.arrays or not self._config.feature.generates:
            return inputs
        steps = min(_STEPS, self._config.max_sequence_length - 1)
        made = self._reference.generate(inputs.arrays, steps)
        assert made.first is not None
        tokens = np.concatenate([made.first, made.tokens], axis=1)
        arrays = {**inputs.arrays, "decoder_input_ids": tokens}
        if "decoder_attention_mask" in arrays:
            arrays["decoder_attention_mask"] = np.ones_like(tokens)
        return replace(inputs, arrays=arrays)


_DECODED = ("decoder_input_ids", "input_ids")
"""The tokens that a language model goes on from, the first of these that it takes."""


class _Side:
    """Inputs and the checkpoint's outputs for them, kept as far as memory allows."""

    def __init__(self, reference: Reference, inputs: Sequence[Inputs]) -> None:
        self._reference, self._inputs = reference, inputs
        self._kept: dict[int, Outputs] = {}
        self._room = _KEPT

    def batches(self) -> Iterator[tuple[Inputs, Outputs]]:
        for number, inputs in enumerate(self._inputs):
            expected = self._kept.get(number)
            if expected is None:
                outputs = self._reference.run(inputs.arrays)
                expected = {name: array for name, array in outputs.items() if not name.startswith("present.")}
                size = sum(array.nbytes for array in expected.values())
                if size <= self._room:
                    self._kept[number] = expected
                    self._room -= size
            yield inputs, expected


def _rows(inputs: Inputs) -> int:
    first: Array = next(iter(inputs.arrays.values()))
    return len(first)
