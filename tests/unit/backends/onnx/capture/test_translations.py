"""Operators translated by our table equal torch's, at any shape, an empty one too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from converter.backends.onnx.capture.torch_patches import lean_exporter
from converter.backends.onnx.capture.translations import TRANSLATIONS


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 4), (2, 5, 4), (2, 3, 5, 4)])
def test_a_linear_layer_is_one_gemm_at_every_rank_and_length(tmp_path: Path, shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 3, bias=bias).eval()
    dynamic = (dict.fromkeys(range(len(shape) - 1), torch.export.Dim.DYNAMIC),)
    with lean_exporter(), torch.no_grad():
        program = torch.onnx.export(
            model,
            (torch.randn(shape),),
            dynamo=True,
            dynamic_shapes=dynamic,
            custom_translation_table=dict(TRANSLATIONS),
            optimize=False,
            verbose=False,
        )
    assert program
    program.save(tmp_path / "model.onnx")
    assert [node.op_type for node in program.model.graph if node.op_type in ("Gemm", "MatMul")] == ["Gemm"]
    session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for lead in (shape[:-1], tuple(size + 2 for size in shape[:-1]), (0, *shape[1:-1]), (*shape[:-2], 0)):
        tensor = torch.randn((*lead, 4))
        (output,) = session.run(None, {session.get_inputs()[0].name: tensor.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(output, model(tensor).numpy(), atol=1e-6)


class Weighted(torch.nn.Module):
    """A number for each row: `linear` with a weight that is a vector, as D-FINE has it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self.weight)


def test_a_linear_layer_with_a_vector_for_its_weight_gives_a_number_for_each_row(tmp_path: Path) -> None:
    model, tensor = Weighted().eval(), torch.randn(2, 5, 4)
    with lean_exporter(), torch.no_grad():
        program = torch.onnx.export(
            model, (tensor,), dynamo=True, custom_translation_table=dict(TRANSLATIONS), optimize=False, verbose=False
        )
    assert program
    program.save(tmp_path / "model.onnx")
    (output,) = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"]).run(None, {"x": tensor.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(output, model(tensor).numpy(), atol=1e-6)


class Attending(torch.nn.Module):
    def forward(self, query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(query, key, key, attn_mask=mask)


@pytest.mark.parametrize("axes", [2, 4])
def test_attention_gives_zeros_where_a_position_may_see_no_other(tmp_path: Path, axes: int) -> None:
    torch.manual_seed(0)
    query, key, mask = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 7, 4), torch.rand(2, 1, 5, 7) < 0.5
    mask[:, :, 1] = False
    mask = mask[0, 0] if axes == 2 else mask
    with lean_exporter(), torch.no_grad():
        program = torch.onnx.export(
            Attending().eval(),
            (query, key, mask),
            dynamo=True,
            custom_translation_table=dict(TRANSLATIONS),
            optimize=False,
            verbose=False,
        )
    assert program
    program.save(tmp_path / "model.onnx")
    session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"query": query.numpy(), "key": key.numpy(), "mask": mask.numpy()})
    expected = Attending()(query, key, mask).numpy()
    assert not expected[:, :, 1].any()
    np.testing.assert_allclose(output, expected, atol=1e-6)
