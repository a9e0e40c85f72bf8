"""Shapes are read from the inputs, and each is computed once."""

from __future__ import annotations

from onnx_ir.passes import common

from converter.backends.onnx.passes.input_shapes import InputShapes
from converter.backends.onnx.passes.shapes_from_inputs import ShapesFromInputsPass
from tests.unit.backends.onnx.passes.test_flatten_tokens import Gated, captured


def test_shapes_are_taken_from_the_inputs_and_computed_once() -> None:
    graph = captured(Gated().eval())
    assert ShapesFromInputsPass()(graph).modified
    common.RemoveUnusedNodesPass()(graph)
    shapes = [node.inputs[0] for node in graph.graph if node.op_type == "Shape"]
    assert shapes and all(value in graph.graph.inputs for value in shapes)
    made = InputShapes(graph.graph)
    assert made.value(("batch", 4)) is made.value(("batch", 4))
    assert not made.knows(("batch", "another"))
