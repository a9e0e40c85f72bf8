"""Two arrays, the artifact's and the checkpoint's: how far apart, and do they decide the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from converter.architectures import OnnxConfig
from converter.core.records import Comparison
from converter.core.typing import Array
from converter.validation.tolerance import Tolerance


def kept_positions(name: str, output: Array, config: OnnxConfig, inputs: Mapping[str, Array]) -> Array:
    """A boolean array of the output elements outside padding, broadcastable to the output's shape.

    Outputs at padded positions mean nothing, and differ 20 times more than others. If a mask covers a cache too, its last columns
    belong to the new tokens.
    """
    everything = np.ones((1,) * output.ndim, bool)
    of_encoder = ".encoder." in name or inputs.keys().isdisjoint(("decoder_attention_mask", "decoder_input_ids"))
    mask = inputs.get("attention_mask" if of_encoder else "decoder_attention_mask")
    labels = [label for axis, label in config.inputs.get("attention_mask", {}).items() if axis > 0]
    tokens = [axis for axis, label in config.outputs[name].items() if axis > 0 and ("sequence" in label or label in labels)]
    if mask is None or not tokens or mask.ndim != 2 or output.shape[0] != mask.shape[0] or output.shape[tokens[0]] > mask.shape[1]:
        return everything
    kept = mask[:, mask.shape[1] - output.shape[tokens[0]] :].astype(bool)
    return kept.reshape([size if axis in (0, tokens[0]) else 1 for axis, size in enumerate(output.shape)])


def compare(name: str, artifact: Array, reference: Array, kept: Array, tolerance: Tolerance, decides: bool) -> Comparison:
    """Compare one output at the positions in `kept`; if it `decides`, the argmax of its last axis has to be equal.

    This runs in blocks of rows: logits of a vocabulary at the maximum length take 60 MB, and in float64 many times more.
    """
    specs = {
        "output": name,
        "dtype": str(artifact.dtype),
        "expected_dtype": str(reference.dtype),
        "shape": artifact.shape,
        "expected_shape": reference.shape,
    }
    if artifact.shape != reference.shape:
        return Comparison(**specs, close=False)
    ours, theirs, kept = (_rows(array) for array in (artifact, reference, np.broadcast_to(kept, reference.shape)))
    step = max(1, _BLOCK // max(1, ours.shape[1]))
    blocks = [
        _compare_rows(ours[start : start + step], theirs[start : start + step], kept[start : start + step], tolerance, decides)
        for start in range(0, len(ours), step)
    ]
    made, same, ties = (sum(counts) for counts in zip(*(block.decisions for block in blocks), strict=True)) if blocks else (0, 0, 0)
    max_error = float(np.max([block.max_error for block in blocks], initial=0.0))  # NaN, if there is one
    scale = max((block.scale for block in blocks), default=0.0)
    decided = ours.shape[1] > 1 and made > 0
    return Comparison(
        **specs,
        close=all(block.close for block in blocks),
        max_abs_error=max_error,
        max_rel_error=max_error / scale if scale else None,
        top1_agreement=(same + ties) / made if decided else None,
        top1_ties=ties if decided else 0,
        expected_nan=any(block.expected_nan for block in blocks),
    )


_BLOCK = 1 << 18  # elements, of which a core's own cache holds a few arrays
_ROUNDED = 1e-6  # more than a difference of two numbers in float32 is off by, in parts of itself: 2^-24, or 6e-8


@dataclass(frozen=True)
class _Block:
    """Some rows compared; `decisions` are those made, those that are the same, and the ties."""

    close: bool
    expected_nan: bool
    max_error: float
    scale: float
    decisions: tuple[int, int, int]


def _rows(array: Array) -> Array:
    return array.reshape(-1, array.shape[-1]) if array.size else array.reshape(0, 1)


def _compare_rows(ours: Array, theirs: Array, kept: Array, tolerance: Tolerance, decides: bool) -> _Block:
    return _clearly_close(ours, theirs, kept, tolerance, decides) or _compare_exactly(ours, theirs, kept, tolerance, decides)


def _clearly_close(ours: Array, theirs: Array, kept: Array, tolerance: Tolerance, decides: bool) -> _Block | None:
    """The result of `_compare_exactly` at a fifth of its cost; None if float32 differences cannot decide.

    They can if rows are kept whole or not at all, and no element needs the relative tolerance.
    """
    rows = kept[:, 0]
    if ours.dtype != np.float32 or theirs.dtype != np.float32 or not (kept == rows[:, None]).all():
        return None
    if not rows.all():
        ours, theirs = ours[rows], theirs[rows]
    if not ours.size:
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.subtract(ours, theirs)
        place = np.unravel_index(np.abs(error, out=error).argmax(), error.shape)  # NaN, if there is one
    largest = abs(float(ours[place]) - float(theirs[place]))
    if not largest * (1 + _ROUNDED) <= tolerance.atol * (1 - _ROUNDED):
        return None
    return _Block(
        close=True,
        expected_nan=False,
        max_error=largest,
        scale=max(float(theirs.max()), -float(theirs.min())),
        decisions=_decisions(ours, theirs, tolerance) if decides else (0, 0, 0),
    )


def _compare_exactly(ours: Array, theirs: Array, kept: Array, tolerance: Tolerance, decides: bool) -> _Block:
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.where(ours == theirs, 0.0, np.abs(ours - theirs))  # equal infinities are equal
    # NaN compares as not close, and a checkpoint that gives NaN proves nothing of its artifact.
    expected_nan = bool(np.any(np.isnan(theirs[kept])))
    made = np.any(kept, axis=1)
    our_rows, their_rows = (np.where(kept, array, -np.inf)[made] for array in (ours, theirs))
    return _Block(
        close=bool(np.all((error <= tolerance.at(theirs))[kept]) and not expected_nan),
        expected_nan=expected_nan,
        max_error=float(error[kept].max(initial=0.0)),
        scale=float(np.abs(theirs[kept & np.isfinite(theirs)]).max(initial=0.0)),
        decisions=_decisions(our_rows, their_rows, tolerance) if decides else (0, 0, 0),
    )


def _decisions(ours: Array, theirs: Array, tolerance: Tolerance) -> tuple[int, int, int]:
    """How many rows there are that decide, how many of these the same, and how many otherwise by a tie within tolerance."""
    if not ours.size:
        return 0, 0, 0
    rows = np.arange(len(ours))
    our_choice, their_choice = ours.argmax(axis=1), theirs.argmax(axis=1)
    best, chosen = (theirs[rows, choice].astype(np.float64) for choice in (their_choice, our_choice))
    same = our_choice == their_choice
    with np.errstate(invalid="ignore"):
        tie = ~same & (best - chosen <= tolerance.at(best) + tolerance.at(chosen))
    return len(rows), int(same.sum()), int(tie.sum())
