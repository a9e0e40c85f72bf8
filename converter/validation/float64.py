"""The checkpoint in true float64: the truth that float32 results are held against.

`module.double()` alone is not enough. Llama, T5, GPT Neo and kin cast norms, softmaxes and rotary positions to float32 in their own
code, which is off by up to 1.5 times float32's own error. Here every float32 that they ask for becomes a float64.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_NARROW = frozenset({torch.float32, torch.float16, torch.bfloat16})
_CASTS = frozenset({torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16})


class _Widened(TorchFunctionMode):
    """Turns each narrower floating point type in a torch call into float64."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function in _CASTS:
            return args[0].double()
        return function(*map(_wide, args), **{name: _wide(value) for name, value in (kwargs or {}).items()})


def _wide(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value in _NARROW else value


@contextmanager
def computing_in_float64() -> Iterator[None]:
    """While it lasts, torch computes in float64, whatever type a model asks for."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Widened():
            yield
    finally:
        torch.set_default_dtype(before)


def in_float64(module: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of `module` with float64 tensors; tied ones stay tied.

    The copy takes twice the memory of a float32 module. The values are those in `module`, without more digits.
    """
    memo: dict[int, Any] = {}
    for submodule in module.modules():
        for tensor in (*submodule._parameters.values(), *submodule._buffers.values(), *vars(submodule).values()):
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and id(tensor) not in memo:
                wide = tensor.detach().double()
                memo[id(tensor)] = torch.nn.Parameter(wide, requires_grad=False) if isinstance(tensor, torch.nn.Parameter) else wide
    return copy.deepcopy(module, memo)
