"""The stored tensors against the checkpoint's, bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import accumulate

import numpy as np

from converter.architectures.dummies import Array
from converter.backends import Session
from converter.backends.base import StoredWeight
from converter.checkpoints.loading import LoadedModel
from converter.records import WeightCheck

LARGE = 1024
"""Bytes from which on a tensor of numbers that is as large as a weight has to be one; smaller ones are a graph's own constants."""

_CHUNK = 1 << 20  # elements compared at once


def check_weights(session: Session, model: LoadedModel, keeps_ties: bool) -> WeightCheck:
    """Compare every stored tensor with the checkpoint: no sample of inputs reaches each row of an embedding.

    One that bears a weight's name has to be that weight, and one that says of which it is made has to be made of them. Any other large
    one that has as many elements as a weight has to be some weight, as it is or transposed. One of another size can be none: it is
    computed, such as the anchors of an image of one size, and every case takes all of it. Names that are tied in the checkpoint have to
    share their bytes, or, where it was asked for, have bytes of their own.
    """
    tensors = {name: tensor.numpy() for name, tensor in model.tensors().items()}
    sizes = {tensor.size for tensor in tensors.values()}
    compared, different, strangers = 0, [], []
    places: dict[tuple[int, Hashable], list[str]] = {}
    for stored in session.weights():
        if stored.name in tensors:
            compared += 1
            places.setdefault((stored.file, stored.storage), []).append(stored.name)
            if not _same_bytes(stored.array, tensors[stored.name]):
                different.append(stored.name)
        elif stored.of and not tensors.keys() >= {*stored.of}:
            strangers.append((stored.name, stored.array))
        elif stored.of:
            compared += 1
            for place, part in enumerate(stored.of):
                places.setdefault((stored.file, (stored.storage, place)), []).append(part)
            if not _is_made_of(stored, [tensors[part] for part in stored.of]):
                different.append(stored.name)
        elif stored.array.nbytes >= LARGE and stored.array.dtype.kind == "f" and stored.array.size in sizes:
            strangers.append((stored.name, stored.array))
    known = {_digest(each) for tensor in tensors.values() for each in (tensor, tensor.T)} if strangers else set()
    unknown = tuple(name for name, stored in strangers if _digest(stored) not in known)
    tied = tuple(tuple(names) for names in places.values() if len(names) > 1)
    return WeightCheck(
        compared=compared + len(strangers) - len(unknown),
        different=tuple(different),
        unknown=unknown,
        tied=tied,
        doubled=tuple(_apart(tensors, places)) if keeps_ties else (),
        joined=() if keeps_ties else tuple(name for names in tied for name in names[1:]),
    )


def _apart(tensors: Mapping[str, Array], places: Mapping[tuple[int, Hashable], Sequence[str]]) -> Iterator[str]:
    """The names of weights that share their bytes with another in the checkpoint, and with none such in the artifact."""
    first: dict[tuple[int, int], Hashable] = {}
    for (file, storage), names in places.items():
        for name in names:
            if tensors[name].size and first.setdefault((file, tensors[name].ctypes.data), storage) != storage:
                yield name


def _is_made_of(stored: StoredWeight, parts: Sequence[Array]) -> bool:
    """Whether it is its parts, one after the other along their first axis; no more of them is copied than one part."""
    whole = stored.array.T if stored.transposed else stored.array
    if not all(part.ndim for part in parts) or whole.shape[:1] != (sum(len(part) for part in parts),):
        return False
    ends = list(accumulate(len(part) for part in parts))
    return all(_same_bytes(whole[end - len(part) : end], part) for part, end in zip(parts, ends, strict=True))


def _same_bytes(stored: Array, tensor: Array) -> bool:
    if stored.shape != tensor.shape or stored.dtype != tensor.dtype:
        return False
    bits = np.dtype(f"u{min(8, stored.dtype.itemsize)}")  # not as numbers: 0.0 is -0.0, and NaN is nothing
    ours, theirs = (np.ascontiguousarray(each).reshape(-1).view(bits) for each in (stored, tensor))
    return all(np.array_equal(ours[start : start + _CHUNK], theirs[start : start + _CHUNK]) for start in range(0, len(ours), _CHUNK))


def _digest(array: Array) -> bytes:
    return hashlib.sha256(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()).digest()
