"""A function with a custom gradient is its value only during a capture, and itself again afterwards."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from converter.architectures.generic.gradients import values_alone
from converter.backends.traced.form import quiet_torchscript


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, factor: int) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.mark_non_differentiable(x)
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        return gradients[0] * ctx.factor, None


class Model(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Twice.apply(x, 2)  # type: ignore[no-any-return, no-untyped-call]  # torch's own lacks types


def test_the_value_is_the_same_and_no_archive_holds_the_function_itself() -> None:
    model, x = Model(), torch.arange(3.0)
    assert "apply" not in vars(Twice)
    with values_alone(model), quiet_torchscript():
        assert torch.equal(model(x), 2 * x)
        traced = torch.jit.trace(model, x)  # type: ignore[no-untyped-call]  # torch's own lacks types
    assert "PythonOp" not in str(traced.graph)
    assert "apply" not in vars(Twice)
    assert model(x.requires_grad_()).grad_fn is not None


def test_an_error_leaves_nothing_behind() -> None:
    with pytest.raises(RuntimeError), values_alone(Model()):
        assert "apply" in vars(Twice)
        raise RuntimeError
    assert "apply" not in vars(Twice)


def test_a_class_whose_module_is_gone_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, Model.__module__)
    with values_alone(Model()):
        assert "apply" not in vars(Twice)
