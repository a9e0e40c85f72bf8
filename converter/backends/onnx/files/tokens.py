"""Which token ids a graph treats apart from the others: each of these is tried, as no random text has them all.

A graph that looks a token up and does nothing else with its id treats all alike. One that compares ids, or replaces some, names them in
its constants, or gives its embedding other indices than the ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper

from converter.backends.onnx.files.model_file import StoredModel
from converter.core.typing import Array

_MOST_ELEMENTS = 64
"""Of a constant that names tokens; a larger one is a table."""
_ROW = 16
"""Tokens per row; no model has fewer positions."""
_SHOWN = 64
"""The number of tried tokens if they do not reach the embedding unchanged."""


def tokens_apart(stored: StoredModel, name: str, vocabulary: int) -> set[int]:
    """Return the ids below `vocabulary` that the constants of the graph name, and some that reach no embedding as they come in `name`."""
    named = {int(value) for value in _constants(stored.skeleton.graph) if value == int(value) and 0 <= value < vocabulary}
    return named | {token for indices in _indices(stored, name, vocabulary) for token in indices}


def _constants(graph: onnx.GraphProto) -> Iterator[float]:
    tensors = [*graph.initializer, *(attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t"))]
    for tensor in tensors:
        if np.prod(tensor.dims, dtype=int) <= _MOST_ELEMENTS and tensor.data_type in _NUMBERS:
            array = numpy_helper.to_array(tensor)
            yield from array[np.isfinite(array)].ravel().tolist()
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.i,) if attribute.type == onnx.AttributeProto.INT and node.op_type == "Constant" else ()
            yield from attribute.ints if node.op_type == "Constant" else ()
            if attribute.HasField("g"):
                yield from _constants(attribute.g)


_NUMBERS = frozenset((onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.FLOAT))


def _indices(stored: StoredModel, name: str, vocabulary: int) -> Iterator[list[int]]:
    """For each embedding that does not take `name` itself, some of the ids that it takes others for."""
    from converter.backends.onnx.session import open_graph

    graph = stored.skeleton.graph
    rows = {tensor.name: tensor.dims[0] for tensor in graph.initializer if tensor.dims}
    rows |= {tensor.header.name: tensor.header.dims[0] for tensor in stored.tensors if tensor.header.dims}
    makers = {output: node for node in graph.node for output in node.output}
    inputs = {value.name for value in graph.input}
    for node in graph.node:
        if node.op_type != "Gather" or rows.get(node.input[0], 0) < vocabulary or node.input[1] in inputs:
            continue
        needed = _before(node.input[1], makers)
        if {source for part in needed for source in part.input} & inputs != {name}:
            continue  # it is made of something else, too
        probe = onnx.ModelProto()
        probe.CopyFrom(stored.skeleton)
        del probe.graph.output[:], probe.graph.node[:], probe.graph.input[:]
        probe.graph.node.extend(needed)
        probe.graph.input.extend(value for value in graph.input if value.name == name)
        probe.graph.output.append(onnx.ValueInfoProto(name=node.input[1]))
        session = open_graph(replace(stored, skeleton=probe).with_external_weights(), stored.path.parent)
        rank = len(probe.graph.input[0].type.tensor_type.shape.dim)
        batch = -(-vocabulary // _ROW)
        dtype = ir.DataType(probe.graph.input[0].type.tensor_type.elem_type).numpy()
        ids: Array = np.resize(np.arange(vocabulary), (batch, *(1,) * (rank - 2), _ROW)).astype(dtype)
        (indices,) = session.run(None, {name: ids})
        others = np.unique(ids.reshape(-1)[indices.reshape(-1) != ids.reshape(-1)]) if indices.size == ids.size else np.arange(0)
        yield others[:: max(1, len(others) // _SHOWN)].tolist()


def _before(value: str, makers: dict[str, onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The nodes that a value is computed by, in order."""
    nodes: dict[int, onnx.NodeProto] = {}

    def visit(name: str) -> None:
        node = makers.get(name)
        if node is None or id(node) in nodes:
            return
        for source in node.input:
            visit(source)
        nodes[id(node)] = node

    visit(value)
    return list(nodes.values())
