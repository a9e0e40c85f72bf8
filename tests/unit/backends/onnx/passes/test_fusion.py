"""A graph without fusions says so, and the rules that fusion relies on are there."""

from __future__ import annotations

import onnx_ir as ir
import pytest
import torch
from onnxscript.rewriter.ort_fusions.fused_matmul_rule_sets import fused_matmul_rule_sets
from onnxscript.rewriter.rules.common import transpose_transpose_rule

from converter.backends.onnx.passes.fusion import NOTHING, fuse

WEIGHTS = {name: torch.full((3, 2), place) for place, name in enumerate(("q", "k", "v"))}


@pytest.mark.parametrize("optimize", ["none", "cpu", "cuda"])
def test_a_graph_with_nothing_to_fuse_is_told(optimize: str) -> None:
    value = ir.Value(name="x", shape=ir.Shape(["batch"]), type=ir.TensorType(ir.DataType.FLOAT))
    node = ir.node("Relu", [value])
    node.outputs[0].shape, node.outputs[0].type = value.shape, value.type
    model = ir.Model(ir.Graph([value], node.outputs, nodes=[node], opset_imports={"": 20}), ir_version=10)
    assert fuse(model, optimize, WEIGHTS) == ("" if optimize == "none" else NOTHING)  # type: ignore[arg-type]
    assert [node.op_type for node in model.graph] == ["Relu"]


def test_what_is_relied_on_of_others_is_there() -> None:
    from transformers.exporters import onnxruntime_fusions

    assert callable(onnxruntime_fusions.fuse_for_onnxruntime)
    assert any(providers and "cuda" in providers for _, providers in onnxruntime_fusions._STEPS)
    assert len(fused_matmul_rule_sets().rules) > 5
    assert transpose_transpose_rule
