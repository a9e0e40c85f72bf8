"""Two arrays, the artifact's and the checkpoint's: how far apart, and do they decide the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from converter.architectures.features import Axes
from converter.checkpoints.samples import Array
from converter.records import Comparison


@dataclass(frozen=True)
class Tolerance:
    """An element is close where |artifact - checkpoint| ≤ atol + rtol·|checkpoint|, as numpy's allclose has it."""

    atol: float
    rtol: float

    def at(self, reference: Array) -> Array:
        """The tolerance for each element; nothing is within tolerance of an infinity but itself."""
        bound: Array = self.atol + self.rtol * np.abs(np.where(np.isinf(reference), 0.0, reference))
        return bound


def kept_positions(output: Array, axes: Axes, inputs: Mapping[str, Array], input_axes: Mapping[str, Axes]) -> Array:
    """Which elements of an output belong to no padding: a boolean array that broadcasts to the output's shape.

    What a model gives at a padded position means nothing, and differs 20 times more than elsewhere.
    """
    mask = inputs.get("attention_mask")
    if mask is None or dict(axes) != dict(input_axes["attention_mask"]) or mask.shape != output.shape[: mask.ndim]:
        return np.ones((1,) * output.ndim, bool)
    return mask.astype(bool).reshape(mask.shape + (1,) * (output.ndim - mask.ndim))


def compare(name: str, artifact: Array, reference: Array, kept: Array, tolerance: Tolerance, decides_over: int | None) -> Comparison:
    """Compare one output at the positions in `kept`; `decides_over` is the axis whose argmax is the model's decision."""
    specs = {
        "output": name,
        "dtype": str(artifact.dtype),
        "expected_dtype": str(reference.dtype),
        "shape": artifact.shape,
        "expected_shape": reference.shape,
    }
    if artifact.shape != reference.shape:
        return Comparison(**specs, close=False)
    ours, theirs = artifact.astype(np.float64), reference.astype(np.float64)
    kept = np.broadcast_to(kept, theirs.shape)
    with np.errstate(invalid="ignore"):
        error = np.where(ours == theirs, 0.0, np.abs(ours - theirs))  # equal infinities are equal
    bound = tolerance.at(theirs)
    # NaN compares as not close, and a checkpoint that gives NaN proves nothing of its artifact.
    close = bool(np.all((error <= bound)[kept]) and not np.any(np.isnan(theirs[kept])))
    max_error = float(error[kept].max(initial=0.0))
    finite = np.abs(theirs[kept & np.isfinite(theirs)])
    scale = float(finite.max(initial=0.0))
    agreement, ties = _decisions(ours, theirs, kept, tolerance, decides_over)
    return Comparison(
        **specs,
        close=close,
        max_abs_error=max_error,
        max_rel_error=max_error / scale if scale else None,
        top1_agreement=agreement,
        top1_ties=ties,
    )


def _decisions(ours: Array, theirs: Array, kept: Array, tolerance: Tolerance, axis: int | None) -> tuple[float | None, int]:
    """The share of decisions that are the same, ties included, and the number of these ties."""
    if axis is None or theirs.shape[axis] < 2:
        return None, 0
    ours, theirs = (np.where(kept, each, -np.inf) for each in (ours, theirs))
    our_choice, their_choice = (np.expand_dims(np.argmax(each, axis), axis) for each in (ours, theirs))
    made = np.any(kept, axis)
    same = np.squeeze(our_choice == their_choice, axis)
    best, chosen = (np.squeeze(np.take_along_axis(theirs, choice, axis), axis) for choice in (their_choice, our_choice))
    with np.errstate(invalid="ignore"):
        tie = ~same & (best - chosen <= tolerance.at(best) + tolerance.at(chosen))
    return float(np.mean((same | tie)[made])), int(np.sum(tie[made]))
