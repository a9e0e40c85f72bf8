"""The exporter repeats no work, with equal results. These tests notice renamed private interfaces of torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.onnx._internal.exporter import _registration

from converter.backends.onnx.capture import torch_patches as exporter
from converter.backends.onnx.capture.torch_patches import lean_exporter


class Promotes(torch.nn.Module):
    """Its second half is of another type only once types are promoted: an integer and a number, a division of integers."""

    def forward(self, x: torch.Tensor, n: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        total = torch.cumsum(n.int(), 1) + 1
        return torch.relu(x * 2 + 1) + total / 3, total.type_as(n) * n


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[torch.fx.Node]:
    """Every operator that the promotion of types runs."""
    made: list[torch.fx.Node] = []
    run_node = torch.fx.Interpreter.run_node

    def counted(interpreter: torch.fx.Interpreter, node: torch.fx.Node) -> object:
        if type(interpreter).__name__ == exporter._PROMOTION and node.op == "call_function":
            made.append(node)
        return run_node(interpreter, node)

    monkeypatch.setattr(torch.fx.Interpreter, "run_node", counted)
    return made


def export(path: Path, *, model: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> list[np.ndarray]:
    program = torch.onnx.export(model.eval(), inputs, dynamo=True, optimize=False, verbose=False)
    assert program
    program.save(path)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {node.name: tensor.numpy() for node, tensor in zip(session.get_inputs(), inputs, strict=True)})


INPUTS = (torch.linspace(-1, 1, 6).reshape(2, 3), torch.arange(6).reshape(2, 3))


def test_types_are_promoted_where_they_have_to_be(tmp_path: Path, runs: list[torch.fx.Node]) -> None:
    with lean_exporter():
        outputs = export(tmp_path / "model.onnx", model=Promotes(), inputs=INPUTS)
    for ours, theirs in zip(outputs, Promotes()(*INPUTS), strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6)
        assert ours.dtype == theirs.numpy().dtype
    assert runs


def test_what_needs_no_promotion_is_not_run_again(tmp_path: Path, runs: list[torch.fx.Node]) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    with lean_exporter():
        export(tmp_path / "model.onnx", model=model, inputs=INPUTS[:1])
    assert runs == []
    with exporter.quiet_exporter():
        export(tmp_path / "model.onnx", model=model, inputs=INPUTS[:1])
    assert runs  # as torch does it; and the class still has its name


def test_the_table_of_translations_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    make = exporter._make_registry

    def counted(**options: object) -> _registration.ONNXRegistry:
        made.append(options)
        return make(**options)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(exporter, "_make_registry", counted)
    exporter._registry.cache_clear()
    for _ in range(2):
        with lean_exporter():
            export(tmp_path / "model.onnx", model=torch.nn.ReLU(), inputs=INPUTS[:1])
    assert len(made) == 1


def patched() -> tuple[object, ...]:
    """All that the patches change."""
    settings = (torch.fx.config.do_not_emit_stack_traces, torch._dynamo.config.fake_tensor_cache_enabled)
    functions = (torch.fx.Interpreter.run_node, _registration.ONNXRegistry.from_torchlib, torch.nn.functional.dropout)
    return (*settings, *functions)


@contextmanager
def undone() -> Iterator[None]:
    before = patched()
    yield
    assert patched() == before


def test_afterwards_torch_is_as_it_was_whatever_happened() -> None:
    with undone(), pytest.raises(ValueError, match="in between"), lean_exporter():
        assert patched()[:2] == (True, False)
        raise ValueError("in between")


class Drops(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(torch.nn.functional.dropout(x, 0.5, self.training)) + 1


def test_a_model_that_is_not_trained_says_nothing_of_dropout_and_one_that_is_drops() -> None:
    def operators(model: torch.nn.Module) -> list[str]:
        program = torch.export.export(model, (torch.ones(2, 3),))
        return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]

    with lean_exporter():
        assert operators(Drops().eval()) == ["aten.add.Tensor"]
        assert operators(Drops().train()).count("aten.dropout.default") == 2
    assert operators(Drops().eval()).count("aten.dropout.default") == 2


def test_a_capture_keeps_no_stack_trace_of_its_nodes() -> None:
    def traces(model: torch.nn.Module) -> list[str]:
        nodes = torch.export.export(model, (torch.ones(2, 3),)).graph.nodes
        return [node.stack_trace for node in nodes if node.op == "call_function" and node.stack_trace]

    with lean_exporter():
        assert traces(torch.nn.ReLU()) == []
    assert traces(torch.nn.ReLU())


def test_a_capture_looks_up_no_shapes() -> None:
    def looked_up() -> int:
        FakeTensorMode.cache_clear()
        torch.export.export(torch.nn.Linear(3, 4), (torch.ones(2, 3),))
        counts = FakeTensorMode.cache_info()
        return counts.hits + counts.misses

    with lean_exporter():
        assert looked_up() == 0
    assert looked_up()
