"""Which operators decide by values, and which only look as if they did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from transformers.utils import import_utils

from converter.backends.neuron.static import Decisions, reporting_tracing

TOKENS = torch.tensor([[3, 1, 4, 1], [5, 9, 2, 6]])
TABLE = torch.arange(20.0).reshape(10, 2)


def _written_into_a_new_tensor(tokens: torch.Tensor) -> Any:
    mask = torch.zeros(2, 4)
    mask[0, :2] = tokens[0, :2] * 1.0  # a part of it
    return bool(mask.any())


def _in_place(tokens: torch.Tensor) -> Any:
    total = torch.zeros(())
    total += tokens.sum()
    return total.item()


@pytest.mark.parametrize(
    ("code", "operator"),
    [
        (lambda tokens: tokens.sum().item(), "aten::_local_scalar_dense"),
        (lambda tokens: 1 if (tokens > 8).any() else 2, "aten::_local_scalar_dense"),
        (lambda tokens: int(TABLE[tokens][0, 0, 0]), "aten::_local_scalar_dense"),
        (lambda tokens: tokens.nonzero(), "aten::nonzero"),
        (lambda tokens: tokens[tokens > 2], "aten::index.Tensor"),
        (lambda tokens: tokens.unique(), "aten::_unique2"),
        (lambda tokens: torch.masked_select(tokens, tokens > 2), "aten::masked_select"),
        (lambda tokens: torch.equal(tokens, tokens + 1), "aten::equal"),
        (_written_into_a_new_tensor, "aten::_local_scalar_dense"),
        (_in_place, "aten::_local_scalar_dense"),
    ],
)
def test_a_value_that_decides_is_found_with_its_line(code: Callable[[torch.Tensor], Any], operator: str) -> None:
    with torch.no_grad(), Decisions([TOKENS]) as watch:
        code(TOKENS)
    assert [decision.operator for decision in watch.decisions] == [operator]
    assert "tests/unit/backends/neuron/test_static.py, line " in watch.decisions[0].place


@pytest.mark.parametrize(
    "code",
    [
        lambda tokens: TABLE[tokens],
        lambda tokens: tokens[torch.tensor([1, 0]), torch.tensor([0, 3])],
        lambda tokens: tokens.where(tokens > 2, 0).masked_fill(tokens == 1, 7),
        lambda tokens: tokens.shape[0] if tokens.dim() == 2 else 0,
        lambda tokens: torch.tensor(3).item() + len(tokens),  # a value that no input has a part in
        lambda tokens: torch.ones(4).nonzero(),
        lambda tokens: tokens.topk(2).values.cumsum(-1).softmax(-1, torch.float32),
    ],
)
def test_what_every_call_does_alike_is_no_decision(code: Callable[[torch.Tensor], Any]) -> None:
    with torch.no_grad(), Decisions([TOKENS]) as watch:
        code(TOKENS)
    assert watch.decisions == []


def test_transformers_asks_the_function_that_is_replaced() -> None:
    """A name of transformers that no documentation promises; torch-xla's side of it is in tests/xla."""
    assert not transformers.utils.import_utils.is_tracing()
    with reporting_tracing():
        assert import_utils.is_tracing() and import_utils.is_tracing(TOKENS)
    assert not import_utils.is_tracing(TOKENS)


def test_a_model_that_is_told_looks_at_no_mask(tiny: Callable[..., Any]) -> None:
    model = transformers.AutoModel.from_pretrained(tiny("bert"), attn_implementation="eager").eval()
    inputs = {"input_ids": TOKENS, "attention_mask": torch.ones_like(TOKENS)}

    def decisions() -> list[str]:
        with torch.no_grad(), Decisions(inputs.values()) as watch:
            model(**inputs)
        return [decision.operator for decision in watch.decisions]

    assert decisions() == ["aten::_local_scalar_dense"]
    with reporting_tracing():
        assert decisions() == []
