"""Decomposition only if needed: the same graph in a third of the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from converter.architectures import FEATURES, find_architecture
from converter.architectures.model_config import overridden
from converter.backends.onnx.capture import capture
from converter.backends.onnx.capture.decomposition import decomposition_where_needed
from converter.backends.onnx.capture.torch_patches import lean_exporter
from converter.checkpoints.loading import load_model


@pytest.fixture
def decomposed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one whenever torch decomposes a program."""
    calls: list[int] = []
    decompose = torch.export.ExportedProgram.run_decompositions

    def counted(program: torch.export.ExportedProgram, *args: object) -> torch.export.ExportedProgram:
        calls.append(len(program.graph.nodes))
        return decompose(program, *args)  # type: ignore[arg-type]  # torch's own takes its table

    monkeypatch.setattr(torch.export.ExportedProgram, "run_decompositions", counted)
    return calls


@pytest.mark.parametrize(
    ("model_type", "feature"),
    [("bert", "default"), ("gpt2", "causal-lm-with-past"), ("gpt_neo", "causal-lm-with-past"), ("t5", "default")],
)
def test_a_model_is_not_decomposed_and_its_graph_is_the_same(
    tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, decomposed: list[int], model_type: str, feature: str
) -> None:
    architecture, auto_class = find_architecture(model_type), FEATURES[feature].auto_classes[0]
    model = load_model(tiny(model_type, auto_class), auto_class, "float32", "eager")
    config = architecture.configure(model.config, feature)
    with overridden(model.config, config.values_override):
        ours = capture.capture(model, config, None)
        assert decomposed == []
        monkeypatch.setattr(capture, "decomposition_where_needed", lambda _: pytest.MonkeyPatch.context())
        theirs = capture.capture(model, config, None)
    assert len(decomposed) == 1  # the exporter's table is still at the expected place
    kinds = [Counter(node.op_type for node in graph.model.graph.node if node.op_type != "Constant") for graph in (ours, theirs)]
    assert kinds[0] == kinds[1]


class Accumulates(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = x * 2
        total += x
        return total + 1


class WritesThroughAView(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = x * 2
        first = total[0]
        total += x
        return first + total


class WritesIntoItsInput(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.view(-1)
        y += 1
        return x * 3


class KeepsWhatItWroteOver(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = x * 2
        before = total + 0
        total -= before / 2
        return before * total


class HasNoTranslation(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.moveaxis(x, 0, 1).square()


@pytest.mark.parametrize(
    ("model", "times"),
    [(Accumulates, 0), (KeepsWhatItWroteOver, 0), (WritesThroughAView, 1), (WritesIntoItsInput, 1), (HasNoTranslation, 1)],
)
def test_what_writes_in_place_comes_out_right_decomposed_or_not(
    tmp_path: Path, decomposed: list[int], model: type[torch.nn.Module], times: int
) -> None:
    x = torch.arange(6.0).reshape(2, 3)
    with decomposition_where_needed(), torch.no_grad(), lean_exporter():
        program = torch.onnx.export(model().eval(), (x.clone(),), dynamo=True, optimize=False, verbose=False)
    assert program
    assert len(decomposed) == times
    program.save(tmp_path / "model.onnx")
    session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_array_equal(output, model()(x.clone()).numpy())
