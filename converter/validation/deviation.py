"""The deviation of a variant from its checkpoint at every case: texts have no past and no long row.

A variant has rounded weights, so no absolute tolerance holds. But its error is similar everywhere. A variant that ignores its cache or
a mask is right on plain texts, and off by the whole spread elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from converter.architectures import OnnxConfig
from converter.architectures.dummies import MASKED_BY
from converter.backends.session import Session
from converter.backends.variant_info import Activations
from converter.core.errors import ConversionError
from converter.core.records import Deviation
from converter.core.typing import Array
from converter.validation.case_inputs import InputGenerator, Inputs
from converter.validation.case_plan import SCALES
from converter.validation.compare import kept_positions
from converter.validation.conditioning import NoisyWeights
from converter.validation.generation import at_once, follow, generate, generates
from converter.validation.influence import measure_influences
from converter.validation.interface import run
from converter.validation.past import OwnPast
from converter.validation.reference import Reference

Outputs = Mapping[str, Array]


@dataclass
class _Variance:
    """Running sums of an output over all cases, a column for each feature: how much the checkpoint's results differ among inputs."""

    rows: int = 0
    total: Array = field(default_factory=lambda: np.zeros(1))
    squares: Array = field(default_factory=lambda: np.zeros(1))

    def add(self, rows: Array) -> None:
        rows = rows.astype(np.float64)
        if self.total.shape != (1,) and self.total.shape != rows.shape[1:]:  # images of other sizes: one feature for all
            rows = rows.reshape(-1, 1)
            self.total, self.squares, self.rows = (
                self.total.sum(keepdims=True),
                self.squares.sum(keepdims=True),
                self.rows * len(self.total),
            )
        self.rows += len(rows)
        self.total, self.squares = self.total + rows.sum(axis=0), self.squares + (rows**2).sum(axis=0)

    @property
    def value(self) -> float:
        """The root of the variance, its mean over the features."""
        variance = self.squares / max(1, self.rows) - (self.total / max(1, self.rows)) ** 2
        return float(np.sqrt(max(0.0, float(variance.mean()))))


@dataclass
class _Output:
    """One output over all cases: its spread, and for each case the mean of squared errors of each row."""

    variance: _Variance = field(default_factory=_Variance)
    errors: dict[str, Array] = field(default_factory=dict)
    copied: dict[str, Array] = field(default_factory=dict)
    """The same of the rows that were given and are passed on, as a past is."""

    def relative(self, case: str, *, with_copied: bool = True) -> Array:
        """For each row of a case the root mean square error in parts of the spread."""
        rows = [self.errors.get(case, _NO_ROWS), *([self.copied.get(case, _NO_ROWS)] if with_copied else [])]
        result: Array = np.sqrt(np.concatenate(rows)) / self.variance.value
        return result

    @property
    def usual(self) -> float:
        """The error that rows usually have: the median over the cases of each one's median row, at most a few times the median of all.

        A fault may be in most rows of a few cases, or in the one row of many.
        """
        rows = [self.relative(case, with_copied=False) for case in self.errors]
        return min(float(np.median([np.median(some) for some in rows])), _APART * float(np.median(np.concatenate(rows))))


_NO_ROWS = np.zeros(0)
_APART = 3.0
"""How many times the median of all rows that may be: 1.5 for MiniLM in 8 bits, and 60 if a fault is in most cases."""


@dataclass(frozen=True)
class _Factors:
    """The bounds of the worst case and the worst row, and of a cache against no cache, in multiples of the usual error.

    `least` and `least_row` are lower limits of the first two, relative to the spread.
    """

    case: float
    row: float
    itself: float
    least: float = 0.0
    least_row: float = 0.0

    def of_tail(self, tail: float) -> _Factors:
        """The factors for a model whose worst row is off by `tail` times the usual error if noise is added to its weights."""
        if tail <= _LONG_TAIL:
            return self
        return replace(self, case=max(self.case, tail / 2), row=max(self.row, 2 * tail), itself=max(self.itself, _ITSELF_OF_TAIL))


_LONG_TAIL = 8.0
"""SmolLM2-135M has 39, and a variant of it other worst rows than the noise: in float16 43 times the usual error, in w8 58."""
_ITSELF_OF_TAIL = 2.0
"""SmolLM2-135M in float16 is off by 0.9 of the usual error between a token at a time and all at once."""


class VariantGrid:
    """The cases with the checkpoint's outputs, for all variants of one artifact."""

    def __init__(self, reference: Reference, config: OnnxConfig, tokenizer: Any | None) -> None:
        self._reference, self._config = reference, config
        rng = np.random.default_rng(_SEED)
        self._generator = InputGenerator(config, reference.model.dtype, tokenizer, rng, (), reference.model.size)
        longest = self._generator.longest_case()
        expected = reference.run(longest.arrays)
        self._past = OwnPast(expected) if config.use_past else None
        grid = [case for case in self._generator.grid(self._past) if case.name not in SCALES]  # outputs of another size have another error
        self._cases = [*grid, longest]
        with suppress(ValueError):  # without real text, as the verdict on the float32 files says
            self._cases.append(self._generator.text())
        self._expected: dict[str, Outputs] = {}
        self._room = _KEPT
        self._generated = generate(reference, config, rng) if generates(config) else None

    def problems(self, session: Session) -> Iterator[str]:
        """The inputs that a variant ignores: an input that moves the checkpoint has to move it too."""
        for influence in measure_influences(session, self._reference, self._config, self._generator, self._past, _SHARE):
            yield from influence.problems()

    def deviations(self, session: Session, *, activations: Activations) -> tuple[Deviation, ...]:
        """The deviation of `session` at every case, the output furthest beyond its bound first.

        Raises ConversionError if it does not run or returns another shape.
        """
        measured = {name: output for name, output in self.measure(session).items() if output.errors and output.variance.value > 0}
        itself = measured.pop(_ITSELF, None)
        factors = _FACTORS[activations]
        deviations = [_deviation(name, output, factors) for name, output in measured.items()]
        deviations += self._against_itself(itself, measured, factors)
        if not all(deviation.passed for deviation in deviations):
            factors = factors.of_tail(self._tail)
            deviations = [_deviation(name, output, factors) for name, output in measured.items()]
            deviations += self._against_itself(itself, measured, factors)
        return tuple(sorted(deviations, key=lambda deviation: deviation.worst / deviation.bound if deviation.bound else 0.0, reverse=True))

    @staticmethod
    def _against_itself(itself: _Output | None, measured: Mapping[str, _Output], factors: _Factors) -> list[Deviation]:
        """How far generation with the cache is off from the same tokens in one call."""
        if itself is None or "logits" not in measured:
            return []
        usual, rows = measured["logits"].usual, itself.relative(_ITSELF)
        bound = factors.itself * usual + _NOISE
        return [_made("logits", usual, (_rms(rows), bound, _ITSELF), (float(rows.max()), 4 * bound, _ITSELF))]

    @cached_property
    def _tail(self) -> float:
        """How many times the usual error the checkpoint's worst row is off, of any output, with a little noise on its weights."""
        outputs: dict[str, _Output] = {}
        noisy_weights = NoisyWeights(self._reference.model.module, _SEED)
        for case in self._cases:
            expected = self._reference_results(case, keep=True)
            with noisy_weights.applied():
                noisy = self._reference.run(case.arrays)
            for name, array in expected.items():
                self._add(outputs.setdefault(name, _Output()), case, name, noisy[name], array)
        tails = [
            max(float(output.relative(case).max(initial=0.0)) for case in output.errors) / max(output.usual, _NOISE)
            for output in outputs.values()
            if output.errors and output.variance.value > 0
        ]
        return max(tails, default=0.0)

    def measure(self, session: Session) -> dict[str, _Output]:
        """What each output of `session` is off, row by row."""
        outputs: dict[str, _Output] = {}
        tokens = self._generator.tokens_case(
            {name: session.tokens_apart(name, size) for name, size in self._config.vocab_sizes.items() if name in MASKED_BY}
        )
        for case in [*self._cases, *([tokens] if tokens else [])]:
            results = run(session, case.arrays)
            for name, expected in self._reference_results(case, keep=case is not tokens).items():
                self._add(outputs.setdefault(name, _Output()), case, name, results[name], expected)
        if self._generated:
            inputs, generated = self._generated
            logits = follow(session, inputs, generated.first, generated.tokens)
            whole = np.ones(logits.shape[:2], bool)
            _add_rows(outputs["logits"], "generated", logits, generated.logits, whole)
            if 1 in self._config.inputs.get("decoder_input_ids", {1: ""}):  # the documented decoders take a token at a time
                itself = at_once(session, inputs, generated.first, generated.tokens)
                _add_rows(outputs.setdefault(_ITSELF, _Output(outputs["logits"].variance)), _ITSELF, logits, itself, whole)
        return outputs

    def _add(self, output: _Output, case: Inputs, name: str, ours: Array, theirs: Array) -> None:
        if ours.shape != theirs.shape:
            raise ConversionError(f"{name} has shape {ours.shape} instead of {theirs.shape} ({case.name})")
        kept: Array = np.broadcast_to(kept_positions(name, theirs, self._config, case.arrays), theirs.shape).copy()
        ours, theirs, kept = (_in_rows(name, array) for array in (ours, theirs, kept))
        past = case.arrays.get(f"past_key_values{name.removeprefix('present')}")
        if past is not None and name.startswith("present.") and past.shape[2] <= theirs.shape[1]:
            length = past.shape[2]
            _add_rows(output, case.name, ours[:, :length], theirs[:, :length], kept[:, :length].any(axis=-1), is_copied=True)
            ours, theirs, kept = (array[:, length:] for array in (ours, theirs, kept))
        _add_rows(output, case.name, ours, theirs, kept.any(axis=-1))

    def _reference_results(self, case: Inputs, *, keep: bool) -> Outputs:
        results = self._expected.get(case.name) if keep else None
        if results is None:
            results = self._reference.run(case.arrays)
            size = sum(array.nbytes for array in results.values())
            if keep and size <= self._room:
                self._room -= size
                self._expected[case.name] = results
        return results


def _in_rows(name: str, array: Array) -> Array:
    """An output with a row's features in its last axis; for a cache (batch, heads, tokens, features), of all heads."""
    if array.ndim == 4 and name.startswith("present."):
        return array.swapaxes(1, 2).reshape(array.shape[0], array.shape[2], -1)
    return array.reshape(-1, 1) if array.ndim < 2 else array


def _rms(rows: Array) -> float:
    return float(np.sqrt((rows**2).mean())) if rows.size else 0.0


def _deviation(name: str, output: _Output, factors: _Factors) -> Deviation:
    usual = output.usual
    by_case = {case: output.relative(case) for case in output.errors}
    means = {case: _rms(rows) for case, rows in by_case.items()}
    largest = {case: float(rows.max(initial=0.0)) for case, rows in by_case.items()}
    case, row_case = (max(figures, key=lambda name: (figures[name] != figures[name], figures[name])) for figures in (means, largest))
    bound = max(factors.least, min(factors.case * usual, max(_MOST, _LEAST_FACTOR * usual))) + _NOISE
    row_bound = max(factors.least_row, factors.row * usual) + _NOISE
    return _made(name, usual, (means[case], bound, case), (largest[row_case], row_bound, row_case))


def _made(output: str, usual: float, worst: tuple[float, float, str], row: tuple[float, float, str]) -> Deviation:
    names = ("worst", "bound", "case", "worst_row", "row_bound", "row_case")
    return Deviation.model_validate({"output": output, "median": usual, **dict(zip(names, (*worst, *row), strict=True))})


def _add_rows(output: _Output, case: str, ours: Array, theirs: Array, kept: Any, *, is_copied: bool = False) -> None:
    """Add the kept rows of a case: `kept` has the shape of the others except for their last axis."""
    ours, theirs = ours[kept].astype(np.float64), theirs[kept].astype(np.float64)
    if not theirs.size:
        return
    output.variance.add(theirs)
    (output.copied if is_copied else output.errors)[case] = ((ours - theirs) ** 2).reshape(len(ours), -1).mean(axis=1)


_FACTORS: Mapping[Activations, _Factors] = {
    "float": _Factors(4.0, 10.0, 0.5),
    "dynamic": _Factors(8.0, 20.0, 2.0, least=0.15, least_row=0.35),
    "static": _Factors(8.0, 20.0, 0.5, least=0.5, least_row=0.8),
}
"""By the type of activations: some inputs exceed a static range. docs/explanation/precision.md has the figures."""
_ITSELF = "a token at a time against all at once"
_MOST, _LEAST_FACTOR = 0.7, 3.0
"""A case is not off by more of the spread than this, whatever the median, unless the median itself is near it."""
_NOISE = 1e-5
"""Of the spread: what float32 is off by itself."""
_SHARE = 1 / 16
"""The share of the checkpoint's change that a variant has to show for an input that matters."""
_SEED = 20261129
_KEPT = 2**28
"""Bytes of checkpoint outputs that are kept for the next variant; the rest is computed again."""
