"""A trace equals its model for some inputs, or the difference is reported."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from converter.backends.traced.form import disagreement


def _traced(model: torch.nn.Module) -> Any:
    with pytest.warns((DeprecationWarning, FutureWarning)):  # the latter from torch 2.14 on
        return torch.jit.trace(model, torch.ones(3, 4))


def test_a_trace_that_does_what_its_model_does_has_nothing_told_of_it() -> None:
    model = torch.nn.Linear(4, 2).eval()
    assert disagreement(_traced(model), model, [torch.ones(5, 4)]) == ""  # type: ignore[arg-type]


def test_other_numbers_and_errors_are_told_apart() -> None:
    model, other = torch.nn.Linear(4, 2).eval(), torch.nn.Linear(4, 2).eval()
    assert disagreement(_traced(model), other, [torch.ones(5, 4)]) == "other numbers"  # type: ignore[arg-type]
    assert "mat1 and mat2 shapes cannot be multiplied" in disagreement(_traced(model), model, [torch.ones(5, 3)])  # type: ignore[arg-type]
