"""Give each Gemm behind a fused attention a matrix: onnxscript's attention absorbs the Reshape that made one, and outputs three axes."""

from __future__ import annotations

import onnx_ir as ir

from converter.backends.onnx.passes.input_shapes import InputShapes

_ATTENTIONS = frozenset({"Attention", "GroupQueryAttention", "MultiHeadAttention"})


class FlattenAttentionPass(ir.passes.InPlacePass):
    """Insert a Reshape to (-1, width) between a fused attention and the Gemm that reads it."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Insert the reshapes into `model`."""
        shapes = InputShapes(model.graph)
        modified = False
        for node in list(model.graph):
            rows = node.inputs[0] if node.op_type == "Gemm" else None
            producer = rows.producer() if rows is not None else None
            weight = node.inputs[1] if rows is not None else None
            if producer is None or producer.op_type not in _ATTENTIONS or weight is None or weight.shape is None:
                continue
            width = weight.shape[1 if node.attributes.get_int("transB", 0) else 0]
            assert isinstance(width, int)
            reshape = ir.node("Reshape", [rows, shapes.value((-1, width))])
            model.graph.insert_before(node, reshape)
            node.replace_input_with(0, reshape.outputs[0])
            modified = True
        return ir.passes.PassResult(model, modified)
