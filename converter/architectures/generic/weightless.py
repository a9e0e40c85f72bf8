"""Run a model without weights: a value read from a tensor without memory is 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def every_value_is_one() -> AbstractContextManager[Any]:
    """Let every read of a value from a tensor without memory return 1, so that masks mask nothing."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    aten = torch.ops.aten
    answers: Mapping[Any, Callable[[torch.Tensor], Any]] = {
        aten._local_scalar_dense.default: _value,
        aten.nonzero.default: lambda tensor: tensor.new_empty((tensor.numel(), tensor.dim()), dtype=torch.int64),
        aten.unique_consecutive.default: lambda tensor: (tensor.new_empty(1), *(tensor.new_empty(0, dtype=torch.int64),) * 2),
    }

    def dispatch(_: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        if func in answers and _has_no_memory(args[0]):
            return answers[func](args[0])
        if func is aten.index.Tensor:
            args = (args[0], [place for index in args[1] for place in _places(index)])
        return func(*args, **(kwargs or {}))

    mode: AbstractContextManager[Any] = type("Ones", (TorchDispatchMode,), {"__torch_dispatch__": dispatch})()
    return mode


def _value(tensor: torch.Tensor) -> Any:
    """1, unless a fake tensor knows better, as one does that is made of a number."""
    import torch
    from torch._subclasses.fake_tensor import unset_fake_temporarily

    known = getattr(tensor, "constant", None)
    with unset_fake_temporarily():
        return (torch.ones((), dtype=tensor.dtype, device="cpu") if known is None else known).item()


def _has_no_memory(tensor: torch.Tensor) -> bool:
    from torch._subclasses.fake_tensor import FakeTensor

    return tensor.device.type == "meta" or isinstance(tensor, FakeTensor)


def _places(index: Any) -> Sequence[Any]:
    """An index as integers: the positions that a mask of ones selects."""
    import torch

    if index is None or index.dtype != torch.bool or not _has_no_memory(index):
        return (index,)
    return tuple(index.new_empty(index.numel(), dtype=torch.int64) for _ in range(index.dim()))
