"""The shapes of a graph's values as its inputs give them: computed once each, where a capture computes them wherever they are used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common as passes

Dim = int | str
"""A length that is known, or the name of an axis."""


class Lengths:
    """Shapes as values of `graph`, each made once and before any node that there is. It serves until unused nodes are removed."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self._last: ir.Node | None = None
        self._axes: dict[str, tuple[ir.Value, int]] = {}
        for value in graph.inputs:
            for axis, dim in enumerate(dims(value) or ()):
                if isinstance(dim, str):
                    self._axes.setdefault(dim, (value, axis))
        self._values: dict[tuple[Dim, ...], ir.Value] = {}

    def knows(self, shape: Sequence[Dim]) -> bool:
        """Whether every axis of it is an input's, or of a known length."""
        return all(isinstance(dim, int) or dim in self._axes for dim in shape)

    def value(self, shape: Sequence[Dim]) -> ir.Value:
        """A shape that it `knows`, or what `Reshape` may be told of one, as a tensor."""
        shape = tuple(shape)
        if shape not in self._values:
            self._values[shape] = self._made(shape)
        return self._values[shape]

    def _made(self, shape: tuple[Dim, ...]) -> ir.Value:
        if all(isinstance(dim, int) for dim in shape):
            return self._insert(ir.node("Constant", [], attributes={"value": ir.tensor(np.array(shape, np.int64))}), len(shape))
        if len(shape) == 1 and isinstance(shape[0], str):
            value, axis = self._axes[shape[0]]
            return self._insert(ir.node("Shape", [value], attributes={"start": axis, "end": axis + 1}), 1)
        parts = [self.value((dim,)) for dim in shape]
        return self._insert(ir.node("Concat", parts, attributes={"axis": 0}), len(shape))

    def _insert(self, node: ir.Node, length: int) -> ir.Value:
        if self._last is None:
            self.graph.insert_before(next(iter(self.graph)), node)
        else:
            self.graph.insert_after(self._last, node)
        self._last = node
        (value,) = node.outputs
        value.shape, value.dtype = ir.Shape([length]), ir.DataType.INT64
        return value


def dims(value: ir.Value | None) -> tuple[Dim, ...] | None:
    """The shape of a value, if all of it is known or has names."""
    if value is None or value.shape is None:
        return None
    sizes = [dim if isinstance(dim, int) else dim.value for dim in value.shape]
    return None if any(dim is None for dim in sizes) else tuple(dim for dim in sizes if dim is not None)


def shapes_from_inputs(model: ir.Model) -> None:
    """Take every shape in the graph from the inputs: no tensor has to be there for its shape, and what is equal is computed once."""
    lengths = Lengths(model.graph)
    for node in list(model.graph):
        shape = dims(node.inputs[0]) if node.op_type == "Shape" and node.inputs[0] not in model.graph.inputs else None
        if shape is None:
            continue
        wanted = shape[node.attributes.get_int("start", 0) : node.attributes.get_int("end", len(shape))]
        if wanted and lengths.knows(wanted):
            ir.convenience.replace_all_uses_with(node.outputs[0], lengths.value(wanted))
    passes.CommonSubexpressionEliminationPass()(model)
    passes.RemoveUnusedNodesPass()(model)
