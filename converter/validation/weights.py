"""Compare stored tensors with the checkpoint's, and the checkpoint's with the stored ones."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from converter.backends.session import Session
from converter.backends.stored_weight import StoredWeight
from converter.core.records import WeightCheck
from converter.core.typing import Array
from converter.validation.dependence import computed, folded, needed
from converter.validation.reference import Reference
from converter.validation.tensors import Slice, is_identity, is_made_of, is_same, slices_of

LARGE = 1024
"""Bytes, in float32, from which on a constant has to be a weight or computed by the checkpoint; smaller ones are a graph's own."""

_TRIED = 3
"""Cases in which a weight that is not stored is tried: the first have few tokens, behind a past, alone, and with nothing cached."""
_MOST_PLACES = 8  # of equal rows

_Cases = Sequence[Mapping[str, Array]]


def check_weights(session: Session, reference: Reference, cases: _Cases, keeps_ties: bool) -> WeightCheck:
    """Compare every stored tensor with the checkpoint: no sample of inputs reaches each row of an embedding.

    A tensor with a weight's name has to be this weight, bit for bit, and a packed one has to be made of its weights. Any other large
    one has to be a weight or a buffer, unchanged, transposed or sliced, or a constant that the checkpoint computes in one of the
    `cases`. Each weight that the outputs depend on has to be stored. Names that are tied in the checkpoint have to share their bytes,
    or, if `keeps_ties` is False, to have separate ones.
    """
    check = _Check(reference, narrow=False)
    check.compare(session)
    tied = tuple(tuple(names) for names in check.places.values() if len(names) > 1)
    return check.result(session, cases).model_copy(
        update={
            "tied": tied,
            "doubled": tuple(check.apart()) if keeps_ties else (),
            "joined": () if keeps_ties else tuple(name for names in tied for name in names[1:]),
        }
    )


def check_variant_weights(session: Session, reference: Reference, cases: _Cases) -> WeightCheck:
    """The same for a variant: in 16 bits a weight has to be rounded to nearest, and in integers as near as the scales of its blocks allow,
    which have to be as small as the weights in them allow. A weight may be stored in several forms."""
    check = _Check(reference, narrow=True)
    check.compare(session)
    return check.result(session, cases)


@dataclass
class _Check:
    """The result so far. `there` are the names of stored and used weights, `slices` names of partly stored ones."""

    reference: Reference
    narrow: bool
    tensors: Mapping[str, Array] = field(init=False)
    compared: int = 0
    different: list[str] = field(default_factory=list)
    strangers: list[StoredWeight] = field(default_factory=list)
    small: list[StoredWeight] = field(default_factory=list)
    there: set[str] = field(default_factory=set)
    slices: dict[str, list[Slice]] = field(default_factory=dict)
    places: dict[tuple[int, Hashable], list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors = {name: tensor.numpy() for name, tensor in self.reference.model.tensors().items()}

    def compare(self, session: Session) -> None:
        """Compare named tensors, and set aside the others."""
        for stored in session.weights():
            names = stored.of or (stored.name,)
            if self.tensors.keys() >= {*names}:
                self._compare(stored, names)
            elif stored.quantized is not None or len(names) > 1 or (_is_large(stored.array) and self._has_to_be_known(stored.array)):
                self.strangers.append(stored)
            else:
                self.small.append(stored)

    def _has_to_be_known(self, array: Array) -> bool:
        """Whether a large constant can be held against something: no identity, and integers only if a buffer has as many, and if they do
        not just count."""
        if array.dtype.kind not in "iu":
            return not is_identity(array)
        is_like_a_buffer = any(tensor.size == array.size and tensor.dtype.kind in "iu" for tensor in self.tensors.values())
        return is_like_a_buffer and not np.array_equal(array.reshape(-1), np.arange(array.size))

    def _compare(self, stored: StoredWeight, names: Sequence[str]) -> None:
        self.compared += 1
        for place, name in enumerate(names):
            storage = (stored.storage, place) if stored.of else stored.storage
            self.places.setdefault((stored.file, storage), []).append(name)
        if stored.is_used:
            self.there.update(names)
        if not is_made_of(stored, [self.tensors[name] for name in names], narrow=self.narrow):
            self.different.append(stored.name)

    def result(self, session: Session, cases: _Cases) -> WeightCheck:
        unknown = {stored.name: stored.array for stored in self.strangers if stored.quantized is not None or not self._is_known(stored)}
        names = computed(self.reference, cases, {name: array for name, array in unknown.items() if array.dtype.kind in "biuf"})
        missing, unneeded = self._missing(cases) if session.has_all_weights else ((), ())
        return WeightCheck(
            compared=self.compared + len(self.strangers) - len(unknown),
            computed=len(names),
            different=tuple(self.different),
            unknown=tuple(name for name in unknown if name not in names),
            missing=missing,
            unneeded=unneeded,
        )

    def _is_known(self, stored: StoredWeight) -> bool:
        """Whether a tensor that bears no weight's name is one, or a part of one."""
        array = stored.array
        whole = False
        for name, tensor in self.tensors.items():
            if array.size == tensor.size and self._is(array, tensor):
                whole = True
                if stored.is_used:
                    self.there.add(name)
        if whole:
            return True
        for name, tensor in self.tensors.items():
            if array.size < tensor.size:
                places = [*islice(slices_of(tensor, array, narrow=self.narrow), _MOST_PLACES)]
                if places:
                    self.slices.setdefault(name, []).extend(places if stored.is_used else ())
                    return True
        return False

    def _is(self, array: Array, tensor: Array) -> bool:
        """Whether a tensor is a weight, unchanged or transposed, in any shape."""
        row = array.reshape(-1)
        if is_same(row, tensor.reshape(-1), narrow=self.narrow):
            return True
        return tensor.ndim > 1 and is_same(row, tensor.T.reshape(-1), narrow=self.narrow)

    def _missing(self, cases: _Cases) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The weights that are not stored: those that an output of the first cases depends on, and the others."""
        absent = self._absent()
        if not absent:
            return (), ()
        sizes = {self.tensors[name].size for name in absent}
        for stored in self.small:
            if stored.array.size in sizes:
                self._is_known(stored)
        left = [name for name in self._absent() if not self._is_covered(name)]
        missing = needed(self.reference, cases[:_TRIED], left)
        constants = {stored.name: stored.array for stored in (*self.strangers, *self.small) if stored.is_used and _is_plain(stored)}
        made = folded(self.reference, cases[:_TRIED][-1:], constants, missing)  # as freezing an archive does of I-BERT's
        return tuple(name for name in missing if name not in made), tuple(name for name in left if name not in missing)

    def _absent(self) -> list[str]:
        """The names of the checkpoint's weights that are not stored as a whole, one of those that are tied."""
        stored = {_memory(self.tensors[name]) for name in self.there}
        absent: dict[tuple[int, int], str] = {}
        for name in self.reference.model.trained():
            place = _memory(self.tensors[name])
            if place not in stored and self.tensors[name].size:
                absent.setdefault(place, name)
        return [*absent.values()]

    def _is_covered(self, name: str) -> bool:
        """Whether the slices of a weight make it up."""
        if name not in self.slices:
            return False
        left = np.ones(self.tensors[name].shape[:2], bool)
        for part in self.slices[name]:
            (left.T if part.transposed else left)[part.start : part.stop] = False
        return not left.any()

    def apart(self) -> Iterator[str]:
        """The names of weights that share their bytes with another in the checkpoint, and with none such in the artifact."""
        first: dict[tuple[int, int], Hashable] = {}
        for (file, storage), names in self.places.items():
            for name in names:
                tensor = self.tensors[name]
                if tensor.size and first.setdefault((file, tensor.ctypes.data), storage) != storage:
                    yield name


def _is_plain(stored: StoredWeight) -> bool:
    """Whether a constant has several numbers."""
    return stored.quantized is None and stored.array.dtype.kind in "biuf" and stored.array.size > 1


def _memory(tensor: Array) -> tuple[int, int]:
    """The storage of a tensor, the same for tied ones."""
    return tensor.ctypes.data, tensor.nbytes


def _is_large(array: Array) -> bool:
    """Whether a constant has the size of a weight; one of 16 bits counts as in float32."""
    return array.size * max(4, array.dtype.itemsize) >= LARGE and array.dtype != np.bool_
