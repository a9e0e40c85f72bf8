"""Tokens stay rows from one linear layer to the next, at any shape, and other operators get the axes back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch

from converter.backends.onnx.capture.torch_patches import lean_exporter
from converter.backends.onnx.capture.translations import TRANSLATIONS
from converter.backends.onnx.passes.fusion import fuse

WIDTH, HEADS = 8, 2


class Attention(torch.nn.Module):
    """Attention and a norm of the sum, as every encoder has it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.norm = torch.nn.LayerNorm(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, sequence, _ = x.shape
        q, k, v = (layer(x).view(batch, sequence, HEADS, WIDTH // HEADS).transpose(1, 2) for layer in self.layers[:3])
        context = torch.softmax(q @ k.transpose(2, 3) * 0.5, -1) @ v
        return self.norm(self.layers[3](context.transpose(1, 2).reshape(batch, sequence, WIDTH)) + x)


class Gated(torch.nn.Module):
    """A layer whose output is halved, reduced and scaled by row, with operators between that need the axes."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = torch.nn.Linear(WIDTH, 2 * WIDTH), torch.nn.Linear(WIDTH, 3, bias=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        gate, value = self.one(x).chunk(2, -1)
        scaled = torch.sigmoid(gate) * value
        scaled = scaled * torch.rsqrt(scaled.pow(2).mean(-1, keepdim=True) + 1)
        return self.two(scaled), scaled, scaled.cumsum(1)


class Flat(torch.nn.Module):
    """Rows that something else than a linear layer takes too: their order is not to change."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.reshape(-1, WIDTH)).cumsum(0)


def captured(model: torch.nn.Module, *, axes: tuple[int, ...] = (0, 1)) -> ir.Model:
    names = {axis: ("batch", "sequence")[axis] for axis in axes}
    with lean_exporter(), torch.no_grad():
        program = torch.onnx.export(
            model,
            (torch.randn(2, 5, WIDTH),),
            dynamo=True,
            input_names=["x"],
            dynamic_shapes=(names,),
            custom_translation_table=dict(TRANSLATIONS),
            optimize=True,
            verbose=False,
        )
    assert program
    return program.model


def run(model: ir.Model, path: Path, tensor: torch.Tensor) -> list[np.ndarray]:
    ir.save(model, path)
    onnx.checker.check_model(path)
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": tensor.numpy()})


@pytest.mark.parametrize(("model", "message"), [(Attention, "4 linear"), (Gated, "2 linear"), (Flat, "nothing was fused")])
def test_a_fused_graph_gives_what_the_model_gives_at_every_shape(tmp_path: Path, model: type[torch.nn.Module], message: str) -> None:
    torch.manual_seed(0)
    module = model().eval()
    graph = captured(module)
    assert message in fuse(graph, "cpu", {})
    for shape in ((1, 1), (3, 1), (1, 7), (4, 4), (3, 9), (0, 2)):
        tensor = torch.randn(*shape, WIDTH)
        with torch.no_grad():
            expected = module(tensor)
        for ours, theirs in zip(
            run(graph, tmp_path / "model.onnx", tensor), expected if isinstance(expected, tuple) else [expected], strict=True
        ):
            np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-6)


def test_the_products_of_an_attention_read_the_heads_as_they_lie(tmp_path: Path) -> None:
    """A renamed or changed rule of onnxscript's, and an ONNX Runtime that no longer fuses, are noticed here."""
    graph = captured(Attention().eval())
    fuse(graph, "cpu", {})
    ir.save(graph, tmp_path / "model.onnx")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    ort.InferenceSession(tmp_path / "model.onnx", options, providers=["CPUExecutionProvider"])
    optimized = onnx.load(tmp_path / "optimized.onnx")
    counts = Counter(node.op_type for node in optimized.graph.node)
    assert (counts["FusedMatMul"], counts["Gemm"], counts["SkipLayerNormalization"]) == (2, 4, 0)
    assert counts["Transpose"] == 3, "of the input, of the output, and of the heads"


def test_an_axis_of_one_length_or_without_a_name_is_left_as_it_is() -> None:
    for axes in ((0,), (1,)):
        graph = captured(Attention().eval(), axes=axes)
        fuse(graph, "cpu", {})
        assert sum(node.op_type == "Gemm" for node in graph.graph) == 4
