"""The tensors that an artifact stores."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converter.core.typing import Array


@dataclass(frozen=True)
class Quantized:
    """A matrix of integers in blocks. The value of an element is `(integer - zero point) * scale`.

    Args:
        integers: shape (rows, columns); rows may be padded to whole blocks.
        scales: shape (rows, blocks).
        zero_points: shape (rows, blocks).
        block: columns that share a scale.
        columns: columns of the matrix.
        bits: 8, or 4 for integers of shape (rows, columns / 2) with two a byte, the low one first.
    """

    integers: Array
    scales: Array
    zero_points: Array
    block: int
    columns: int
    bits: int


@dataclass(frozen=True)
class StoredWeight:
    """A tensor of an artifact under one of its names.

    Tensors with the same bytes have the same `storage`. `file` is the index of the file that has it, if an artifact has several. A tensor
    packed of several weights names them in `of`: they are concatenated along their first axis, and then `transposed` if so. If it is
    `quantized`, `array` has the stored integers. `is_used` says whether an output depends on it.
    """

    name: str
    array: Array
    storage: Hashable
    file: int = 0
    of: tuple[str, ...] = ()
    transposed: bool = False
    quantized: Quantized | None = None
    is_used: bool = True
