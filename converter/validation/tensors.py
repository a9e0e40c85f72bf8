"""Whether a stored tensor is a weight of the checkpoint: bit for bit, rounded to 16 bits, or in integers with scales.

All is compared in chunks: no copy of a whole weight is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from converter.backends.stored_weight import Quantized, StoredWeight
from converter.core.typing import Array

_CHUNK = 1 << 18
"""Elements compared at once: each step fits a processor's cache."""
_MASK = float(np.finfo(np.float32).max) / 4
"""From this magnitude on a number is a mask, which is half of the largest number of float16 there."""
_MASK_IN_FLOAT16 = float(np.finfo(np.float16).max) / 2
_LEAST_FLOAT16 = np.finfo(np.float16).smallest_subnormal
_NEAR_ZERO, _MASKED_AS = 1e-3, 3e4  # a number below the first may be rounding; above the second it may stand for a mask
_UNIT, _UNIT_FLOAT16 = np.float32(2**-21), np.float32(2**-10)
"""A few roundings of a number in float32, and one or two in float16."""
_SMALLEST_SCALE = np.finfo(np.float16).tiny


def is_made_of(stored: StoredWeight, parts: Sequence[Array], *, narrow: bool) -> bool:
    """Whether a stored tensor is these weights, one after the other along their first axis, and then transposed if it says so.

    `narrow` allows for 16 bits and for integers, as a variant has them.
    """
    if stored.quantized is not None:
        return narrow and _is_quantized(stored.quantized, parts, transposed=stored.transposed)
    whole = stored.array.T if stored.transposed else stored.array
    if len(parts) == 1:
        return is_same(whole, parts[0], narrow=narrow)
    if not all(part.ndim for part in parts) or whole.shape[:1] != (sum(map(len, parts)),):
        return False
    ends = list(accumulate(map(len, parts)))
    return all(is_same(whole[end - len(part) : end], part, narrow=narrow) for end, part in zip(ends, parts, strict=True))


def is_same(stored: Array, tensor: Array, *, narrow: bool) -> bool:
    """Whether two arrays have the same bits, or, if it may be `narrow`, whether one is the other rounded to nearest in 16 bits."""
    if stored.shape != tensor.shape:
        return False
    narrowed = narrow and tensor.dtype == np.float32 and stored.dtype.name in ("float16", "bfloat16")
    if not narrowed and stored.dtype != tensor.dtype:
        return False
    bits = np.dtype(f"u{min(8, stored.dtype.itemsize)}")  # not as numbers: 0.0 is -0.0, and NaN is nothing
    ours, theirs = (np.ascontiguousarray(array).reshape(-1) for array in (stored, tensor))
    for start in range(0, len(ours), _CHUNK):
        one, other = ours[start : start + _CHUNK], theirs[start : start + _CHUNK]
        if not np.array_equal(one.view(bits), (rounded(other, stored.dtype.name) if narrowed else other).view(bits)):
            return False
    return True


def rounded(array: Array, dtype: str) -> Array:
    """A float32 array in float16, or in bfloat16 as its bits.

    In float16, masks stay masks, and nonzero values stay nonzero.
    """
    if dtype == "bfloat16":
        whole = np.ascontiguousarray(array).view(np.uint32)
        return ((whole + (((whole >> 16) & 1) + np.uint32(0x7FFF))) >> 16).astype(np.uint16)
    with np.errstate(over="ignore"):
        made: Array = array.astype(np.float16)
    lost = (made == 0) & (array != 0)
    masks = np.isinf(made) & (np.abs(array) >= _MASK) & np.isfinite(array)
    if lost.any():
        made[lost] = np.copysign(_LEAST_FLOAT16, array[lost])
    if masks.any():
        made[masks] = np.copysign(np.float16(_MASK_IN_FLOAT16), array[masks])
    return made


def is_identity(array: Array) -> bool:
    """Whether a constant is an identity matrix, from which transformers solves triangular systems during an export."""
    return array.ndim == 2 and array.shape[0] == array.shape[1] and np.array_equal(array, np.eye(len(array)))


def may_be_near(one: Any, other: Any) -> bool:
    """Whether two first numbers are alike enough to look at the others; of numbers near 0 nothing is known."""
    one, other = float(one), float(other)
    return not abs(one - other) > 0.01 * max(abs(one), abs(other)) or min(abs(one), abs(other)) < _NEAR_ZERO or abs(one) > _MASKED_AS


def is_near(constant: Array, values: Array) -> bool:
    """Whether a constant equals the first of these values up to a few roundings, in their order or their transpose's."""
    ours = constant.reshape(-1)
    if constant.dtype.kind in "biu":
        return any(np.array_equal(ours, theirs) for theirs in _orders(constant, values))
    unit = {"float16": 2**-10, "bfloat16": 2**-7}.get(constant.dtype.name, 1e-6)
    ours = ours.astype(np.float64)
    for theirs in _orders(constant, values):
        with np.errstate(over="ignore"):  # a float64 value may exceed float32
            expected = (rounded(theirs.astype(np.float32), "float16") if constant.dtype.name == "float16" else theirs).astype(np.float64)
        largest = np.abs(expected).max(initial=0, where=np.isfinite(expected))
        if np.allclose(ours, expected, rtol=unit, atol=1e-6 * largest, equal_nan=True):
            return True
    return False


def _orders(constant: Array, values: Array) -> Iterator[Array]:
    """The values in a row; for a matrix also column by column."""
    yield values.reshape(-1)
    if min(values.ndim, constant.ndim) > 1:
        yield values.T.reshape(-1)


def _is_quantized(stored: Quantized, parts: Sequence[Array], *, transposed: bool) -> bool:
    """Whether integers are the nearest to a matrix for their scales, and each scale fits its block."""
    if not all(part.ndim == 2 and part.dtype == np.float32 and part.shape[1] == parts[0].shape[1] for part in parts):
        return False
    shape = sum(map(len, parts)), parts[0].shape[1]
    if (len(stored.integers), stored.columns) != (shape[::-1] if transposed else shape):
        return False
    rows = max(1, _CHUNK // max(1, stored.columns))
    starts = range(0, len(stored.integers), rows)
    return all(_rows_are_quantized(stored, start, _rows(parts, start, start + rows, transposed=transposed)) for start in starts)


def _rows(parts: Sequence[Array], start: int, stop: int, *, transposed: bool) -> Array:
    """Some rows of the matrix that the parts make up."""
    if transposed:
        return np.concatenate([part[:, start:stop].T for part in parts], axis=1)
    begins = [end - len(part) for end, part in zip(accumulate(map(len, parts)), parts, strict=True)]
    return np.concatenate([part[max(0, start - begin) : max(0, stop - begin)] for begin, part in zip(begins, parts, strict=True)])


def _rows_are_quantized(stored: Quantized, start: int, weights: Array) -> bool:
    """The bound: half a step, and another half at the ends of the range, which the rounding of a zero point moves.

    Beside that there is the rounding of floats: of the scale, which may be stored in 16 bits, and of weights that were narrowed first.
    """
    stop = start + len(weights)
    scales = stored.scales[start:stop, :, None].astype(np.float32)
    points = stored.zero_points[start:stop, :, None].astype(np.float32)
    integers = _blocks(stored, start, stop)
    weights = _in_blocks(weights, scales.shape[1], stored.block)
    unit = _UNIT_FLOAT16 if stored.scales.dtype == np.float16 else _UNIT
    least = np.float32(_LEAST_FLOAT16 if stored.scales.dtype == np.float16 else 0)
    signed = stored.integers.dtype == np.int8
    levels = np.float32((1 << stored.bits) - 1)
    low = np.minimum(weights.min(axis=2, keepdims=True), 0)
    high = np.maximum(weights.max(axis=2, keepdims=True), 0)
    expected = np.maximum(high, -low) / 127 if signed else (high - low) / levels
    empty = expected < np.finfo(np.float32).tiny
    smallest = _SMALLEST_SCALE if least else np.float32(0)  # of rows of an embedding
    if not (empty | (np.abs(scales - expected) <= expected * unit * 2 + least) | ((scales == smallest) & (expected < smallest))).all():
        return False
    off_point = np.abs(points) if signed else np.abs(points * scales + low) - scales * (0.5 + levels * unit) - least
    if not (empty | (off_point <= 0)).all():
        return False
    whole = (integers - points) * scales
    half = scales * (0.5 + levels * _UNIT)  # a quantizer adds the zero point in float32 before it rounds
    bound = (np.abs(whole) + np.abs(weights)) * unit + (half + least)
    if not signed:
        bound += scales * np.where((integers == 0) | (integers == levels), np.float32(0.5), np.float32(0))
    np.subtract(whole, weights, out=whole)
    return bool((np.abs(whole, out=whole) <= bound).all())


def _blocks(stored: Quantized, start: int, stop: int) -> Array:
    """The integers of some rows as float32: shape (rows, blocks, columns of a block)."""
    rows = stored.integers[start:stop]
    if stored.bits == 4:
        rows = np.stack([rows & 15, rows >> 4], axis=-1).reshape(len(rows), -1)
    blocks = stored.scales.shape[1]
    if rows.shape[1] == blocks * stored.block:
        return rows.astype(np.float32).reshape(len(rows), blocks, stored.block)
    return _in_blocks(rows.astype(np.float32), blocks, stored.block)


def _in_blocks(rows: Array, blocks: int, block: int) -> Array:
    """Rows in blocks, the last filled up with zeros."""
    if rows.shape[1] == blocks * block:
        return rows.reshape(len(rows), blocks, block)
    filled = np.zeros((len(rows), blocks * block), np.float32)
    filled[:, : rows.shape[1]] = rows
    return filled.reshape(len(rows), blocks, block)


@dataclass(frozen=True)
class Slice:
    """Rows `start` to `stop` of a weight, or of its transpose if `transposed`."""

    start: int
    stop: int
    transposed: bool


def slices_of(tensor: Array, stored: Array, *, narrow: bool) -> Iterator[Slice]:
    """Each place in a larger weight that has a stored tensor as consecutive rows or columns."""
    if not stored.size or not stored.ndim:
        return
    corner: tuple[Any, ...] = (0,) * (stored.ndim - 1)
    for transposed in (False, True) if tensor.ndim == 2 else (False,):
        whole = tensor.T if transposed else tensor
        if whole.ndim != stored.ndim or whole.shape[1:] != stored.shape[1:] or len(whole) <= len(stored):
            continue
        firsts = whole[(slice(len(whole) - len(stored) + 1), *corner)]
        first = stored[(slice(1), *corner)]
        if narrow and stored.dtype.name in ("float16", "bfloat16") and firsts.dtype == np.float32:
            firsts, first = rounded(firsts, stored.dtype.name), first.view(np.uint16 if stored.dtype.name == "bfloat16" else np.float16)
        elif firsts.dtype != stored.dtype:
            continue
        for start in np.flatnonzero(firsts == first).tolist():
            if is_same(stored, whole[start : start + len(stored)], narrow=narrow):
                yield Slice(start, start + len(stored), transposed)
