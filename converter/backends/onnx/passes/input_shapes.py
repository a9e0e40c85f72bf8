"""Shapes as values of a graph, computed from the lengths of its inputs, once each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

Dim = int | str
"""A known length, or the name of an axis."""


class InputShapes:
    """Makes shapes as int64 values, in front of all other nodes. Stale once unused nodes are removed.

    Args:
        graph: the graph that gets the nodes.
    """

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
        """Whether each length in `shape` is known, or the length of an input's axis."""
        return all(isinstance(dim, int) or dim in self._axes for dim in shape)

    def value(self, shape: Sequence[Dim]) -> ir.Value:
        """A known shape as a value of shape (axes,), int64; -1 is left to `Reshape` to infer."""
        shape = tuple(shape)
        if shape not in self._values:
            self._values[shape] = self._make(shape)
        return self._values[shape]

    def _make(self, shape: tuple[Dim, ...]) -> ir.Value:
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
    """The shape of a value; None if an axis has neither a length nor a name."""
    if value is None or value.shape is None:
        return None
    sizes = [dim if isinstance(dim, int) else dim.value for dim in value.shape]
    return None if any(dim is None for dim in sizes) else tuple(dim for dim in sizes if dim is not None)
