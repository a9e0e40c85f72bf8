"""Constants are folded and notes removed, and no computation on a weight is."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from converter.backends.onnx.passes.manager import PassManager
from converter.backends.onnx.passes.simplify import simplify_passes


def model() -> ir.Model:
    """(x + (1 + 2)) + -weight, whose weight is an initializer and whose nodes have metadata."""
    x = ir.Value(name="x", shape=ir.Shape(["n"]), type=ir.TensorType(ir.DataType.FLOAT))
    weight = ir.Value(name="weight", const_value=ir.tensor(np.ones(1, np.float32), name="weight"))
    constants = [ir.node("Constant", [], attributes={"value": ir.tensor(np.full(1, number, np.float32))}) for number in (1, 2)]
    total = ir.node("Add", [node.outputs[0] for node in constants])
    shifted = ir.node("Add", [x, total.outputs[0]])
    negative = ir.node("Neg", [weight])
    output = ir.node("Add", [shifted.outputs[0], negative.outputs[0]])
    output.metadata_props["source"] = "/somewhere/model.py"
    graph = ir.Graph(
        [x], output.outputs, nodes=[*constants, total, shifted, negative, output], initializers=[weight], opset_imports={"": 20}
    )
    graph.metadata_props["source"] = "/somewhere"
    return ir.Model(graph, ir_version=10)


def test_constants_are_folded_and_weights_are_not() -> None:
    made = model()
    PassManager(simplify_passes({"weight"}))(made)
    assert [node.op_type for node in made.graph if node.op_type != "Constant"] == ["Add", "Neg", "Add"]
    assert "weight" in made.graph.initializers


def test_a_weight_that_is_not_named_is_folded() -> None:
    made = model()
    PassManager(simplify_passes(()))(made)
    assert "Neg" not in [node.op_type for node in made.graph]


def test_no_note_of_the_exporter_is_left() -> None:
    made = model()
    PassManager(simplify_passes({"weight"}))(made)
    assert not made.metadata_props and not made.graph.metadata_props
    assert not any(node.metadata_props for node in made.graph)
