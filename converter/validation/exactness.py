"""As exact as PyTorch float32, against float64: the criterion for an output that misses the tolerance.

An absolute tolerance demands more of large logits than float32 has. So such an output is compared with the checkpoint in float64, and
so is PyTorch's float32: over all cases together, since with few numbers PyTorch is right by luck.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from converter.architectures import OnnxConfig
from converter.backends.session import Session
from converter.core.records import Case, Comparison, Exactness
from converter.core.typing import Array
from converter.validation.case_inputs import Inputs
from converter.validation.compare import kept_positions
from converter.validation.interface import run
from converter.validation.reference import Reference
from converter.validation.tolerance import Tolerance

RMS_RATIO, MAX_RATIO = 2.0, 4.0
"""How many times PyTorch's own error an artifact's may be, by root mean square and at most."""
FLOOR = 8
"""The allowance in units of the last place of the output's scale."""
_MOST_ERROR, _MOST_UNITS = 0.01, 64
"""The allowance if PyTorch's own error is too large to compare with, such as after another top-k choice: relative to the output's
scale, or in units of its last place."""
_FAR = 5
"""How many times that PyTorch may be off for its error to count: an I-BERT in integers is off by 1.8% of its scale."""
CASE_FACTOR = 4.0
"""How many times the pooled bound the root mean square of one case may be, against that case's own."""
_ENOUGH = 64
"""Numbers of a case from which on it is judged by itself too."""
_MASKING, _MASKING_RTOL = 2.0**24, 1e-5
"""The magnitude of numbers that mask others, such as -1e9 and the smallest float, and their relative tolerance."""


@dataclass
class _Errors:
    """Sums over the kept elements of an output: of squares, and the largest, of both errors and of the values."""

    count: int = 0
    squares: Array = field(default_factory=lambda: np.zeros(3))
    largest: Array = field(default_factory=lambda: np.zeros(3))

    def add(self, artifact: Array, reference: Array, exact: Array) -> None:
        """Add one-dimensional arrays of the same elements.

        A number as large as those that mask others is none to pool, as it would hide all other errors: it is left out if the artifact
        has it as the reference has, and is an infinite error otherwise.
        """
        with np.errstate(invalid="ignore"):
            masks = ~((np.abs(reference) < _MASKING) & (np.abs(exact) < _MASKING)) & ~np.isnan(reference) & ~np.isnan(exact)
            near = np.isfinite(reference) & (np.abs(artifact - reference) <= _MASKING_RTOL * np.abs(reference))
        if np.any(masks & ~near & (artifact != reference)):
            self.largest, self.squares = (np.maximum(array, [np.inf, 0.0, 0.0]) for array in (self.largest, self.squares))
        artifact, reference, exact = (array[~masks] for array in (artifact, reference, exact))
        with np.errstate(over="ignore"):  # of an artifact that is far off
            errors = np.stack([artifact - exact, reference - exact, exact])
        self.count += errors.shape[1]
        self.squares = self.squares + (errors**2).sum(axis=1)
        self.largest = np.maximum(self.largest, np.abs(errors).max(axis=1, initial=0.0))  # NaN, if there is one

    def merged(self, other: _Errors) -> _Errors:
        return _Errors(self.count + other.count, self.squares + other.squares, np.maximum(self.largest, other.largest))

    @property
    def rms(self) -> Array:
        """Root mean squares of the artifact's error, of PyTorch's, and of the values."""
        result: Array = np.sqrt(self.squares / max(1, self.count))
        return result


def measure_exactness(
    inputs: Sequence[Inputs], names: Sequence[str], session: Session, reference: Reference, config: OnnxConfig
) -> tuple[tuple[Exactness, ...], list[dict[str, Array]]]:
    """Run all cases again, with the checkpoint in float64 beside, and judge the outputs `names`.

    Returns:
        The judgement of each output, and for each case by output the leads (1-d, float64) of the checkpoint's decisions over the
        artifact's, if these differ.
    """
    exact = reference.in_float64(names)
    errors: dict[str, list[_Errors]] = {name: [] for name in names}
    leads: list[dict[str, Array]] = []
    for case in inputs:
        outputs = run(session, case.arrays)
        ours = {name: outputs[name] for name in names}  # without a cache that nobody asks for, before the next one is made
        del outputs
        theirs = reference.run(case.arrays, names)
        true = exact.run(case.arrays)
        leads.append({})
        for name in names:
            sums = _Errors()
            kept = np.broadcast_to(kept_positions(name, true[name], config, case.arrays), true[name].shape)
            for block in _blocks(ours[name], theirs[name], true[name], kept):
                sums.add(*block)
            errors[name].append(sums)
            if config.feature.decides and not name.startswith("present."):
                leads[-1][name] = _leads(ours[name], theirs[name], true[name], kept)
    eps = float(np.finfo(reference.model.dtype).eps)
    judged = tuple(_judge(name, cases, eps) for name, cases in errors.items())
    return judged, leads


def _blocks(ours: Array, theirs: Array, true: Array, kept: Array) -> Iterator[tuple[Array, Array, Array]]:
    """The kept elements in float64, some at a time."""
    flat = [array.reshape(-1) for array in (ours, theirs, true, kept)]
    for start in range(0, flat[0].size, _BLOCK):
        ours, theirs, true, kept = (array[start : start + _BLOCK] for array in flat)
        yield ours[kept].astype(np.float64), theirs[kept].astype(np.float64), true[kept]


_BLOCK = 2**20


def _judge(name: str, cases: Sequence[_Errors], eps: float) -> Exactness:
    pooled = _Errors()
    for case in cases:
        pooled = pooled.merged(case)
    rms, largest = pooled.rms, pooled.largest
    rms_bound = _bound(RMS_RATIO, rms[1], rms[2], eps)
    max_bound = _bound(MAX_RATIO, largest[1], largest[2], eps)
    apart = [case.rms for case in cases if case.count >= _ENOUGH]
    worst = max((float(errors[0] / (CASE_FACTOR * _bound(RMS_RATIO, errors[1], rms[2], eps))) for errors in apart), default=0.0)
    return Exactness(
        output=name,
        max_error=float(largest[0]),
        max_reference_error=float(largest[1]),
        max_bound=float(max_bound),
        rms_error=float(rms[0]),
        rms_reference_error=float(rms[1]),
        rms_bound=float(rms_bound),
        worst_case=worst,
    )


def _bound(ratio: float, error: float, scale: float, eps: float) -> float:
    """The allowed error of an artifact for PyTorch's `error`."""
    most = max(_MOST_ERROR, _MOST_UNITS * eps) * scale
    return (ratio * error if error <= _FAR * most else most) + FLOOR * eps * scale


def _leads(ours: Array, theirs: Array, true: Array, kept: Array) -> Array:
    """The decisions that differ: by how much the checkpoint's choice is ahead, in float64."""
    rows = kept.any(axis=-1).reshape(-1)
    ours, theirs, true = (array.reshape(-1, array.shape[-1])[rows] for array in (ours, theirs, true))
    mine, wanted = ours.argmax(axis=1), theirs.argmax(axis=1)
    place = np.flatnonzero(mine != wanted)
    result: Array = true[place, wanted[place]] - true[place, mine[place]]
    return result


def accepted(case: Case, exactness: Mapping[str, Exactness], leads: Mapping[str, Array]) -> Case:
    """The case with the outputs that are as near to float64 as PyTorch float32 is, and their decisions, judged by that."""

    def judged(comparison: Comparison) -> Comparison:
        judgement = exactness.get(comparison.output)
        if comparison.close or not judgement or not judgement.passed:
            return comparison
        update: dict[str, object] = {"exact": True}
        if comparison.top1_agreement is not None and len(leads.get(comparison.output, ())):
            beyond = int((~(leads[comparison.output] <= 2 * judgement.max_bound)).sum())
            rows = int(np.prod(comparison.shape[:-1]))
            update |= {"top1_agreement": 1 - beyond / rows, "top1_ties": len(leads[comparison.output]) - beyond}
        return comparison.model_copy(update=update)

    return case.model_copy(update={"comparisons": tuple(map(judged, case.comparisons))})


def widened(tolerance: Tolerance, exactness: Mapping[str, Exactness], name: str) -> Tolerance:
    """The tolerance by which two choices of an output are a tie: what both float32 results may be off together."""
    judgement = exactness.get(name)
    return (
        replace(tolerance, atol=max(tolerance.atol, judgement.max_bound + judgement.max_reference_error))
        if judgement and judgement.passed
        else tolerance
    )
