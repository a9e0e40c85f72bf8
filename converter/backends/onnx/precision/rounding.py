"""Simulate a GPU's float16 on a CPU: round every value of a float16 graph to float16.

ONNX Runtime's CPU provider has few float16 kernels. It computes such a graph in float32, so an overflow does no harm there. A
float16 file is therefore measured by a graph that casts each value to float16 and back, which the runtime keeps. Inside an operator the
sums are exact, as on a GPU.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper, numpy_helper

from converter.backends.onnx.files import model_file

_FLOAT16, _FLOAT32 = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT


def rounded(stored: model_file.StoredModel, halves: Collection[str]) -> bytes:
    """The model with each node computing in float32, and every float16 value rounded to float16. `halves` are those that nodes give."""
    model = onnx.ModelProto()
    model.ParseFromString(stored.with_external_weights())
    graph = model.graph
    names = [value.name for value in graph.input if value.type.tensor_type.elem_type == _FLOAT16]
    names += [tensor.name for tensor in graph.initializer if tensor.data_type == _FLOAT16]
    nodes = [helper.make_node("Cast", [name], [_rounded(name)], to=_FLOAT32) for name in names]
    halves = {*halves, *names}
    for node in graph.node:
        _widen(node, halves)
        nodes.append(node)
        for place, name in enumerate(node.output):
            if name in halves:
                node.output[place] = f"{name}.unrounded"
                nodes.append(helper.make_node("Cast", [f"{name}.unrounded"], [name], to=_FLOAT16))
                nodes.append(helper.make_node("Cast", [name], [_rounded(name)], to=_FLOAT32))
    del graph.node[:]
    graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _rounded(name: str) -> str:
    return f"{name}.rounded"


def _widen(node: onnx.NodeProto, halves: Collection[str]) -> None:
    """Have a node take and give float32."""
    for place, name in enumerate(node.input):
        if name in halves:
            node.input[place] = _rounded(name)
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == _FLOAT16:
            attribute.i = _FLOAT32
        elif attribute.HasField("t") and attribute.t.data_type == _FLOAT16:
            attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float32), attribute.t.name))
