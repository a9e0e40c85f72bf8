"""Read each shape from the inputs: a shape of an intermediate tensor keeps that tensor alive, and is computed wherever it is used."""

from __future__ import annotations

import onnx_ir as ir

from converter.backends.onnx.passes.input_shapes import InputShapes, dims


class ShapesFromInputsPass(ir.passes.InPlacePass):
    """Replace `Shape` of an intermediate value by `Shape` of an input, once per shape. Leaves unused and equal nodes behind."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Replace the shapes in `model`."""
        shapes = InputShapes(model.graph)
        modified = False
        for node in list(model.graph):
            shape = dims(node.inputs[0]) if node.op_type == "Shape" and node.inputs[0] not in model.graph.inputs else None
            if shape is None:
                continue
            wanted = shape[node.attributes.get_int("start", 0) : node.attributes.get_int("end", len(shape))]
            if wanted and shapes.knows(wanted):
                ir.convenience.replace_all_uses_with(node.outputs[0], shapes.value(wanted))
                modified = True
        return ir.passes.PassResult(model, modified)
