"""A shape by definition is the one that torch finds; these notice when torch infers its shapes by other means than are relied on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from converter.backends.onnx.capture import shape_rules as shapes
from converter.backends.onnx.capture.shape_rules import shapes_by_definition

_aten = torch.ops.aten


class Layer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = torch.nn.Linear(8, 8), torch.nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = self.linear(self.norm(x)).view(*x.shape[:2], 2, 4).transpose(1, 2)
        return torch.matmul(torch.matmul(heads, heads.transpose(2, 3)), heads)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operators that a definition answered for."""
    made: list[str] = []

    def noted(operator: Any, rule: Any) -> Any:
        def ask(*arguments: Any) -> Any:
            shape = rule(*arguments)
            if shape is not None:
                made.append(operator.name())
            return shape

        return ask

    monkeypatch.setattr(shapes, "_RULES", {operator: noted(operator, rule) for operator, rule in shapes._RULES.items()})
    return made


def operators(model: torch.nn.Module, tensor: torch.Tensor) -> list[str]:
    program = torch.export.export(model.eval(), (tensor,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC},))
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


def test_a_traced_program_is_the_same_and_each_definition_is_asked(asked: list[str]) -> None:
    tensor = torch.randn(3, 5, 8)
    with shapes_by_definition():
        program = operators(Layer(), tensor)
    assert set(asked) == {"aten::matmul", "aten::linear", "aten::layer_norm"}
    del asked[:]
    assert program == operators(Layer(), tensor)
    assert asked == []  # afterwards torch does as ever


_SHAPES = [
    (_aten.matmul.default, [(2, 3, 5, 4), (2, 3, 4, 6)]),
    (_aten.matmul.default, [(7, 5, 4), (7, 4, 6)]),
    (_aten.matmul.default, [(5, 4), (4, 6)]),
    (_aten.matmul.default, [(4,), (4,)]),
    (_aten.matmul.default, [(2, 3, 5, 4), (4, 6)]),
    (_aten.matmul.default, [(2, 1, 5, 4), (1, 3, 4, 6)]),
    (_aten.linear.default, [(2, 3, 4), (6, 4), (6,)]),
    (_aten.linear.default, [(4,), (6, 4)]),
    (_aten.linear.default, [(2, 3, 4), (6, 4)]),
    (_aten.layer_norm.default, [(2, 3, 4), [4]]),
    (_aten.layer_norm.default, [(2, 3, 4), [3, 4], (3, 4), (3, 4)]),
]


@pytest.mark.parametrize(("operator", "arguments"), _SHAPES)
def test_what_a_definition_says_or_leaves_to_torch_is_what_the_operator_gives(operator: Any, arguments: list[Any]) -> None:
    real = [torch.randn(argument) if isinstance(argument, tuple) else argument for argument in arguments]
    expected = operator(*real)
    with shapes_by_definition(), FakeTensorMode(shape_env=ShapeEnv()) as mode:
        fake = [mode.from_tensor(argument) if isinstance(argument, torch.Tensor) else argument for argument in real]
        output = operator(*fake)
    assert (tuple(output.shape), output.stride(), output.dtype) == (tuple(expected.shape), expected.stride(), expected.dtype)


@pytest.mark.parametrize(("operator", "shapes"), [(_aten.matmul.default, [(2, 3, 4), (2, 5, 6)]), (_aten.linear.default, [(2, 3), (4, 5)])])
def test_what_does_not_fit_is_torchs_to_refuse(operator: Any, shapes: list[Any]) -> None:
    with shapes_by_definition(), FakeTensorMode(shape_env=ShapeEnv()) as mode, pytest.raises(RuntimeError):
        operator(*(mode.from_tensor(torch.randn(shape)) for shape in shapes))


@pytest.mark.parametrize(("operator", "arguments"), _SHAPES)
def test_real_tensors_are_computed_as_ever(operator: Any, arguments: list[Any]) -> None:
    real = [torch.randn(argument) if isinstance(argument, tuple) else argument for argument in arguments]
    with shapes_by_definition():
        output = operator(*real)
    assert torch.equal(output, operator(*real))
