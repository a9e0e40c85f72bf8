"""The shapes of three operators by definition. torch decomposes them to infer shapes, a third of a capture with symbolic lengths.

A matrix product is expanded, reshaped, multiplied and reshaped again, with reasoning about lengths at each step. The rules here apply
during a capture. If one does not apply, torch infers as usual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx.experimental.symbolic_shapes import statically_known_true

_aten = torch.ops.aten
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_MATRIX = 2

Shape = Sequence[int | torch.SymInt]


def _matmul(a: torch.Tensor, b: torch.Tensor) -> Shape | None:
    """Of stacks of matrices, as many in both."""
    if not a.dim() == b.dim() > _MATRIX:
        return None
    *stack, _, inner = a.shape
    return (*a.shape[:-1], b.shape[-1]) if all(map(_equal, (*stack, inner), b.shape[:-1])) else None


def _linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Shape | None:  # noqa: ARG001 - torch's signature
    return (*x.shape[:-1], weight.shape[0]) if x.dim() > 1 and weight.dim() == _MATRIX and _equal(x.shape[-1], weight.shape[1]) else None


def _layer_norm(x: torch.Tensor, normalized: Shape, *_: Any) -> Shape | None:
    return x.shape if all(map(_equal, x.shape[-len(normalized) :], normalized)) and x.is_contiguous() else None


_RULES: Mapping[Any, Callable[..., Shape | None]] = {
    _aten.matmul.default: _matmul,
    _aten.linear.default: _linear,
    _aten.layer_norm.default: _layer_norm,
}


@contextmanager
def shapes_by_definition() -> Iterator[None]:
    """Use the rules while torch traces."""
    kernels = {operator: operator.py_kernels.get(_COMPOSITE) for operator in _RULES}
    try:
        for operator, kernel in kernels.items():
            operator.py_kernels[_COMPOSITE] = partial(_infer, operator, kernel)
            operator._dispatch_cache.clear()
        yield
    finally:
        for operator, kernel in kernels.items():
            del operator.py_kernels[_COMPOSITE]
            if kernel:
                operator.py_kernels[_COMPOSITE] = kernel
            operator._dispatch_cache.clear()


def _infer(operator: Any, kernel: Callable[..., Any] | None, *arguments: Any, **named: Any) -> Any:
    tensors = [argument for argument in arguments if isinstance(argument, torch.Tensor)]
    if not named and all(isinstance(tensor, FakeTensor) and tensor.dtype == tensors[0].dtype for tensor in tensors):
        shape = _RULES[operator](*arguments)
        if shape is not None:
            return tensors[0].new_empty(shape)
    return kernel(*arguments, **named) if kernel else operator._op_dk(_COMPOSITE, *arguments, **named)


def _equal(one: int | torch.SymInt, other: int | torch.SymInt) -> bool:
    return statically_known_true(one == other)
