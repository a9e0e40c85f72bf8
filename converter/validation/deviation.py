"""How far a variant is from its checkpoint at every case of the grid: beside what it loses on text, which has no past and no long row.

A variant rounds its weights, so no absolute tolerance holds. What holds is that it is about as far off everywhere: a variant that
ignores its cache or a mask is right on plain texts, and off by the whole spread of its output elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converter.architectures import OnnxConfig
from converter.architectures.dummies import Array
from converter.backends import Session
from converter.errors import ConversionError
from converter.records import Deviation
from converter.validation.cases import Inputs, Maker
from converter.validation.compare import kept_positions
from converter.validation.generation import at_once, follow, generate, generates
from converter.validation.influence import measure_influences
from converter.validation.interface import run
from converter.validation.past import OwnPast
from converter.validation.reference import Reference

Outputs = Mapping[str, Array]


@dataclass
class _Spread:
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
    """One output over all cases: its spread, and for each case the mean of squared errors, and that of its worst row."""

    spread: _Spread = field(default_factory=_Spread)
    errors: dict[str, tuple[float, float]] = field(default_factory=dict)

    def relative(self) -> dict[str, tuple[float, float]]:
        """For each case the root mean square error, and that of its worst row, in parts of the spread."""
        spread = self.spread.value
        return {
            case: (float(np.sqrt(mean)) / spread, float(np.sqrt(worst)) / spread) for case, (mean, worst) in self.errors.items() if spread
        }


class VariantGrid:
    """The cases of the grid, with what the checkpoint gives for them, for all variants of one artifact."""

    def __init__(self, reference: Reference, config: OnnxConfig, tokenizer: Any | None) -> None:
        self._reference, self._config = reference, config
        rng = np.random.default_rng(_SEED)
        parameters = sum(parameter.numel() for parameter in reference.model.module.parameters())
        self._maker = Maker(config, reference.model.dtype, tokenizer, rng, (), parameters)
        longest = self._maker.longest_case()
        expected = reference.run(longest.arrays)
        self._past = OwnPast(expected) if config.use_past else None
        self._cases = [*self._maker.grid(self._past), longest]
        with suppress(ValueError):  # there is no real text, as the verdict on the float32 files says
            self._cases.append(self._maker.text())
        self._expected: dict[str, Outputs] = {}
        self._room = _KEPT
        self._generated = generate(reference, config, rng) if generates(config) else None

    def problems(self, session: Session) -> Iterator[str]:
        """What a variant ignores: an input that moves the checkpoint has to move it too."""
        for each in measure_influences(session, self._reference, self._config, self._maker, self._past, _SHARE):
            yield from each.problems()

    def deviations(self, session: Session, *, rounds_activations: bool) -> tuple[Deviation, ...]:
        """How far `session` is off at every case, the output that is farthest beyond its bound first.

        Raises ConversionError where it does not run or gives another shape.
        """
        factor, row_factor = _FACTORS[rounds_activations]
        errors = {name: each for name, each in self.relative_errors(session).items() if each}
        itself = errors.pop(_ITSELF, None)
        found = [_deviation(name, each, factor, row_factor) for name, each in errors.items()]
        if itself:
            ((mean, worst),) = itself.values()
            median = next(each.median for each in found if each.output == "logits")
            bound = _ITSELF_FACTORS[rounds_activations] * median + _NOISE
            rows = {"worst_row": worst, "row_bound": 4 * bound, "row_case": _ITSELF}
            found.append(Deviation(output="logits", median=median, worst=mean, bound=bound, case=_ITSELF, **rows))
        return tuple(sorted(found, key=lambda each: each.worst / each.bound if each.bound else 0.0, reverse=True))

    def relative_errors(self, session: Session) -> dict[str, dict[str, tuple[float, float]]]:
        """For each output and case the root mean square error of `session`, and its worst row's, in parts of that output's spread."""
        outputs: dict[str, _Output] = {}
        for case in self._cases:
            found = run(session, case.arrays)
            for name, expected in self._reference_results(case).items():
                self._add(outputs.setdefault(name, _Output()), case.name, name, found[name], expected, case.arrays)
        if self._generated:
            inputs, generated = self._generated
            logits = follow(session, inputs, generated.first, generated.tokens)
            whole = np.ones(logits.shape[:2], bool)
            _add_rows(outputs["logits"], "generated", logits, generated.logits, whole)
            if 1 in self._config.inputs.get("decoder_input_ids", {1: ""}):  # the documented decoders take a token at a time
                itself = at_once(session, inputs, generated.first, generated.tokens)
                _add_rows(outputs.setdefault(_ITSELF, _Output(outputs["logits"].spread)), _ITSELF, logits, itself, whole)
        return {name: output.relative() for name, output in outputs.items()}

    def _add(self, output: _Output, case: str, name: str, ours: Array, theirs: Array, arrays: Mapping[str, Array]) -> None:
        if ours.shape != theirs.shape:
            raise ConversionError(f"{name} has shape {ours.shape} instead of {theirs.shape} ({case})")
        kept: Array = np.broadcast_to(kept_positions(name, theirs, self._config, arrays), theirs.shape).copy()
        ours, theirs, kept = (_in_rows(name, each) for each in (ours, theirs, kept))
        _add_rows(output, case, ours, theirs, kept.any(axis=-1))

    def _reference_results(self, case: Inputs) -> Outputs:
        found = self._expected.get(case.name)
        if found is None:
            found = self._reference.run(case.arrays)
            size = sum(array.nbytes for array in found.values())
            if size <= self._room:
                self._room -= size
                self._expected[case.name] = found
        return found


def _in_rows(name: str, array: Array) -> Array:
    """An output with the features of a row in its last axis: those of all heads for a cache, (batch, heads, tokens, features)."""
    if array.ndim == 4 and name.startswith("present."):
        return array.swapaxes(1, 2).reshape(array.shape[0], array.shape[2], -1)
    return array.reshape(-1, 1) if array.ndim < 2 else array


def _deviation(name: str, errors: Mapping[str, tuple[float, float]], factor: float, row_factor: float) -> Deviation:
    median = float(np.median([mean for mean, _ in errors.values()]))
    case, row_case = (max(errors, key=lambda each: (errors[each][place] != errors[each][place], errors[each][place])) for place in (0, 1))
    return Deviation(
        output=name,
        median=median,
        worst=errors[case][0],
        bound=min(factor * median, max(_MOST, _LEAST_FACTOR * median)) + _NOISE,
        case=case,
        worst_row=errors[row_case][1],
        row_bound=row_factor * median + _NOISE,
        row_case=row_case,
    )


def _add_rows(output: _Output, case: str, ours: Array, theirs: Array, kept: Any) -> None:
    """Add the kept rows of a case: `kept` has the shape of the others but for their last axis."""
    ours, theirs = ours[kept].astype(np.float64), theirs[kept].astype(np.float64)
    if not theirs.size:
        return
    output.spread.add(theirs)
    squares = ((ours - theirs) ** 2).reshape(len(ours), -1).mean(axis=1)
    output.errors[case] = (float(squares.mean()), float(squares.max()))


_FACTORS = {False: (4.0, 6.0), True: (8.0, 20.0)}
"""How many medians the worst case and the worst row may be off, by whether a variant rounds activations: docs/precision.md has figures."""
_ITSELF = "a token at a time against all at once"
_ITSELF_FACTORS = {False: 0.5, True: 2.0}
"""How many medians of the logits a variant may be off itself, once with its cache and once without."""
_MOST, _LEAST_FACTOR = 0.7, 3.0
"""A case is not off by more of the spread than this, whatever the median, unless the median itself is near it."""
_NOISE = 1e-5
"""Of the spread: what float32 is off by itself."""
_SHARE = 1 / 16
"""Of the checkpoint's change, what a variant has to change by where an input matters."""
_SEED = 20261129
_KEPT = 2**28
"""Bytes of what the checkpoint gave that are kept for the next variant; what is more is computed again."""
