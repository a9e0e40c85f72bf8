"""Functions with a custom gradient, replaced by their value: no archive of TorchScript can hold them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@contextmanager
def values_alone(model: torch.nn.Module) -> Iterator[None]:
    """While it lasts, each `torch.autograd.Function` beside the classes of `model` is its `forward` and nothing else."""
    import torch

    modules = {type(module).__module__ for module in model.modules()}
    functions: set[Any] = {
        value
        for name in modules
        for value in vars(sys.modules.get(name, object)).values()
        if isinstance(value, type) and issubclass(value, torch.autograd.Function) and value is not torch.autograd.Function
    }
    for function in functions:
        function.apply = _forward_of(function)
    try:
        yield
    finally:
        for function in functions:
            del function.apply


class _Forgetful:
    """A context for a forward, without saving anything for a gradient."""

    def save_for_backward(self, *_: Any) -> None:
        """Keep nothing."""

    mark_dirty = mark_non_differentiable = set_materialize_grads = save_for_forward = save_for_backward


def _forward_of(function: Any) -> Any:
    def apply(*arguments: Any) -> Any:
        return function.forward(_Forgetful(), *arguments)

    return staticmethod(apply)
