"""Questions to the checkpoint: the weights that its outputs depend on, and the constants that it computes.

Relied on: `torch.utils._python_dispatch.TorchDispatchMode` sees every tensor that a model computes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from converter.core.typing import Array
from converter.validation.reference import Reference
from converter.validation.tensors import is_near, may_be_near


def needed(reference: Reference, cases: Sequence[Mapping[str, Array]], weights: Sequence[str]) -> list[str]:
    """Return the names of the `weights` that the outputs of some case depend on: with other numbers in them, the outputs change."""
    if not weights:
        return []
    before = [reference.run(case) for case in cases]

    def matter(some: Sequence[str]) -> bool:
        with _other_numbers(reference.model.module, some):
            return any(_differ(outputs, reference.run(case)) for outputs, case in zip(before, cases, strict=True))

    return [*_searched(weights, matter)]


def _searched(weights: Sequence[str], matter: Callable[[Sequence[str]], bool]) -> Iterator[str]:
    """Those that matter, found by halves: mostly none does."""
    if not matter(weights):
        return
    if len(weights) == 1:
        yield from weights
        return
    for half in (weights[: len(weights) // 2], weights[len(weights) // 2 :]):
        yield from _searched(half, matter)


@contextmanager
def _other_numbers(module: torch.nn.Module, weights: Sequence[str]) -> Iterator[None]:
    """Give weights other numbers for a while; mapped memory is not written to."""
    named = (*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False))
    tensors: dict[str, torch.Tensor] = dict(named)
    places = {tensors[name].data_ptr() for name in weights}
    with torch.inference_mode():  # in which a buffer may be set that a call made
        kept = {name: tensor.data for name, tensor in tensors.items() if tensor.data_ptr() in places}  # and those tied to them
    try:
        with torch.inference_mode():
            for name, data in kept.items():
                tensors[name].data = 1.37 - 2 * data
        yield
    finally:
        with torch.inference_mode():
            for name, data in kept.items():
                tensors[name].data = data


def _differ(outputs: Mapping[str, Array], others: Mapping[str, Array]) -> bool:
    return any(not np.array_equal(array, others[name], equal_nan=True) for name, array in outputs.items())


_COMPARED = (torch.float16, torch.float32, torch.float64, torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


class Computed(TorchDispatchMode):
    """Finds, among the tensors that a model computes while this is active, those that `constants` are; `names` has their names.

    A view of one of the model's `weights` is not computed: it would have to be that weight bit for bit.
    """

    def __init__(self, constants: Mapping[str, Array], weights: Iterable[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own lacks types
        self.names: set[str] = set()
        self._stored = {weight.untyped_storage().data_ptr() for weight in weights}
        self._left: dict[int, dict[str, Array]] = {}
        for name, array in constants.items():
            self._left.setdefault(array.size, {})[name] = array

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.clone.default:  # of a buffer, as each call begins with, it is not computed
            return results
        for result in results if isinstance(results, list | tuple) else (results,):
            if isinstance(result, torch.Tensor) and result.numel() in self._left and result.dtype in _COMPARED:
                self._look_at(result)
        return results

    def _look_at(self, tensor: torch.Tensor) -> None:
        left = self._left[tensor.numel()]
        if tensor.untyped_storage().data_ptr() in self._stored:
            return
        values = tensor.detach().numpy()
        begin = values.flat[0]
        for name in [name for name, array in left.items() if may_be_near(array.flat[0], begin) and is_near(array, values)]:
            del left[name]
            self.names.add(name)


def computed(reference: Reference, cases: Sequence[Mapping[str, Array]], constants: Mapping[str, Array]) -> Collection[str]:
    """Return the names of the `constants` that the checkpoint computes in one of the cases."""
    names: set[str] = set()
    for case in cases:
        left = {name: array for name, array in constants.items() if name not in names}
        if not left:
            break
        with Computed(left, reference.model.tensors().values()) as finder:
            reference.run(case)
        names |= finder.names
    return names


def folded(
    reference: Reference, cases: Sequence[Mapping[str, Array]], constants: Mapping[str, Array], weights: Sequence[str]
) -> Collection[str]:
    """Return the names of the `weights` that one of the `constants` was computed of: with other numbers in one, the checkpoint computes
    another."""
    matches = {name: constants[name] for name in computed(reference, cases, constants)} if weights else {}
    names: set[str] = set()
    for weight in weights if matches else ():
        with _other_numbers(reference.model.module, [weight]):
            if len(computed(reference, cases, matches)) < len(matches):
                names.add(weight)
    return names
