"""Keep tokens as rows of a matrix, ordered by position and then by batch, from one linear layer to the next.

A Gemm reads a matrix. A capture therefore reshapes (batch, sequence, width) before each Gemm and reshapes back after it, with a shape
computed each time. Operators on single tokens work on a matrix as well, so one reshape serves them all, and another one undoes it
before an operator that needs the axes. With the sequence as the first axis, FusedMatMul reads the heads in place (`transBatchA`); with
the batch first, it needs transposed copies of queries, keys and values. onnxscript and transformers have no rule for this: their rules
split a Gemm into MatMul and Add, which is slower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from converter.backends.onnx.passes.input_shapes import Dim, InputShapes, dims

_ELEMENTWISE = frozenset({"Cast", "Elu", "Erf", "Exp", "Gelu", "LeakyRelu", "Neg", "Reciprocal", "Relu", "Sigmoid", "Sqrt", "Tanh"})
_BINARY = frozenset({"Add", "Div", "Mul", "Pow", "Sub"})
_ROWWISE = frozenset({"LayerNormalization", "ReduceMean", "Split"})

_AXIS = 2  # the first axis within a token, behind batch and sequence


class FlattenTokensPass(ir.passes.InPlacePass):
    """Keep tokens as rows of a matrix from one linear layer to the next. Leaves the replaced nodes behind, unused."""

    def __init__(self) -> None:
        self.linear_layers = 0
        """How many linear layers the last run connected."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Flatten the tokens of `model`."""
        rows = _Rows(model.graph, InputShapes(model.graph))
        for node in list(model.graph):
            rows.flatten(node)
        self.linear_layers = rows.linear_layers
        return ir.passes.PassResult(model, rows.linear_layers > 0)


class _Rows:
    """The matrices made so far, by the value of shape (batch, sequence, width) that each stands for."""

    def __init__(self, graph: ir.Graph, shapes: InputShapes) -> None:
        self.linear_layers = 0
        self._graph = graph
        self._shapes = shapes
        self._of: dict[ir.Value, ir.Value] = {}

    def flatten(self, node: ir.Node) -> None:
        """Replace a node by one that works on rows, if possible."""
        if node.domain:
            return
        if node.op_type == "Gemm":
            self._flatten_linear(node)
        elif node.op_type == "Reshape":
            tokens = node.inputs[0]
            if tokens is not None and tokens in self._of and self._splits(node, tokens):
                self._undo(node, self._of[tokens], node.outputs[0])
        elif node.op_type in _ELEMENTWISE | _BINARY | _ROWWISE and any(value in self._of for value in node.inputs):
            inputs = list(self._inputs(node))
            if None not in inputs and all(self._tokens(output) for output in node.outputs):
                self._replace(node, [value for value in inputs if value is not None])

    def _flatten_linear(self, node: ir.Node) -> None:
        """Connect a linear layer to the matrix of its tokens, and the reshapes behind it to its output."""
        tokens, bias = _origin(node.inputs[0]), dims(node.inputs[2]) if len(node.inputs) > 2 else ()
        if tokens is None or not self._tokens(tokens) or _width(tokens) != _input_width(node) or bias is None or len(bias) > 1:
            return
        undone = [user for user, _ in node.outputs[0].uses()]
        if node.outputs[0].is_graph_output() or not all(user.op_type == "Reshape" and self._splits(user, tokens) for user in undone):
            return
        node.replace_input_with(0, self._matrix(tokens, node))
        node.outputs[0].shape, node.outputs[0].type = None, tokens.type
        self.linear_layers += 1
        for user in undone:
            self._undo(user, node.outputs[0], user.outputs[0])

    def _tokens(self, value: ir.Value) -> bool:
        """Whether a value is (batch, sequence, width), with two different axes of the inputs in front."""
        shape = self._layout(value)
        return len(shape) == _AXIS + 1 and isinstance(shape[0], str) and shape[0] != shape[1]

    def _splits(self, reshape: ir.Node, tokens: ir.Value) -> bool:
        """Whether a Reshape restores (batch, sequence, …) from the rows of `tokens` and changes the layout within tokens only."""
        shape = self._layout(reshape.outputs[0])
        return bool(shape) and shape[:_AXIS] == self._layout(tokens)[:_AXIS]

    def _layout(self, value: ir.Value | None) -> tuple[Dim, ...]:
        """The shape of a value (batch, sequence, …) with known lengths within a token; empty for any other value."""
        shape = dims(value) or ()
        inner = shape[_AXIS:]
        return shape if inner and self._shapes.knows(shape) and all(isinstance(dim, int) for dim in inner) else ()

    def _inputs(self, node: ir.Node) -> Iterator[ir.Value | None]:
        """The matrices to read instead of a node's inputs, None for an input without one."""
        shapes = [shape for value in node.inputs if value in self._of and (shape := dims(value))]
        leading = shapes[0][:_AXIS]
        if node.op_type in _ROWWISE:
            yield self._of.get(node.inputs[0]) if node.inputs[0] is not None and _works_on_last(node) else None
            yield from node.inputs[1:]
            return
        for value in node.inputs:
            shape = dims(value)
            if value is None or shape is None:
                yield None
            elif len(shape) < _AXIS:
                yield value
            else:
                yield self._matrix(value, node) if shape[:_AXIS] == leading and self._tokens(value) else None

    def _matrix(self, tokens: ir.Value, before: ir.Node) -> ir.Value:
        """The matrix of tokens; if there is none yet, made before the node `before`."""
        if tokens not in self._of:
            parts = _origin(tokens)  # the Reshape that makes the matrix joins the heads too
            if parts is None or not self._layout(parts) or self._layout(parts)[:_AXIS] != self._layout(tokens)[:_AXIS]:
                parts = tokens
            first = self._transposed(parts, before)
            self._of[tokens] = self._reshaped(first, (-1, _width(tokens) or -1), before)
        return self._of[tokens]

    def _replace(self, node: ir.Node, inputs: list[ir.Value]) -> None:
        attributes = dict(node.attributes)
        if node.op_type in ("LayerNormalization", "Split"):
            attributes["axis"] = ir.AttrInt64("axis", -1)
        made = ir.Node("", node.op_type, inputs, list(attributes.values()), num_outputs=len(node.outputs))
        self._graph.insert_before(node, made)
        for old, new in zip(node.outputs, made.outputs, strict=True):
            _describe(new, (None, _width(old)), old)
            self._undo(node, new, old)

    def _undo(self, before: ir.Node, rows: ir.Value, old: ir.Value) -> None:
        """Replace a value by its matrix, reshaped back."""
        batch, sequence, *inner = dims(old) or ()
        tokens = self._transposed(self._reshaped(rows, (sequence, batch, *inner), before), before)
        _describe(tokens, dims(old) or (), old)
        name, is_output = old.name, old.is_graph_output()
        ir.convenience.replace_all_uses_with(old, tokens, replace_graph_outputs=True)
        if is_output:
            old.name, tokens.name = f"{name}_before", name
        if len(inner) == 1:
            self._of[tokens] = rows

    def _reshaped(self, value: ir.Value, shape: tuple[Dim, ...], before: ir.Node) -> ir.Value:
        made = ir.node("Reshape", [value, self._shapes.value(shape)], attributes={"allowzero": int(-1 not in shape)})
        _describe(made.outputs[0], [None if dim == -1 else dim for dim in shape], value)
        self._graph.insert_before(before, made)
        return made.outputs[0]

    def _transposed(self, value: ir.Value, before: ir.Node) -> ir.Value:
        """A value with its first two axes exchanged."""
        first, second, *inner = dims(value) or ()
        perm = [1, 0, *range(_AXIS, _AXIS + len(inner))]
        made = ir.node("Transpose", [value], attributes={"perm": perm})
        _describe(made.outputs[0], (second, first, *inner), value)
        self._graph.insert_before(before, made)
        return made.outputs[0]


def _origin(value: ir.Value | None) -> ir.Value | None:
    """The input of the Reshape that makes a value."""
    producer = value.producer() if value is not None else None
    return producer.inputs[0] if producer is not None and producer.op_type == "Reshape" and not producer.domain else None


def _input_width(gemm: ir.Node) -> int | None:
    """The width of the rows that a Gemm reads, by its weight; None for a computed weight or a transposed input."""
    weight = gemm.inputs[1]
    shape = dims(weight)
    if weight is None or weight.producer() is not None or not shape or gemm.attributes.get_int("transA", 0) != 0:
        return None
    width = shape[1 if gemm.attributes.get_int("transB", 0) else 0]
    return width if isinstance(width, int) else None


def _works_on_last(node: ir.Node) -> bool:
    if node.op_type == "ReduceMean":
        return _constant(node.inputs[1] if len(node.inputs) > 1 else None) == [-1] and node.attributes.get_int("keepdims", 1) == 1
    default: int = 0 if node.op_type == "Split" else -1
    return node.attributes.get_int("axis", default) in (-1, _AXIS)


def _describe(made: ir.Value, shape: Sequence[Dim | None], like: ir.Value) -> None:
    """Set the shape of a value, and the type of another."""
    made.shape, made.type = ir.Shape(shape), like.type


def _constant(value: ir.Value | None) -> list[int] | None:
    """The integers of a small constant."""
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return [int(number) for number in np.ravel(tensor.numpy())] if tensor is not None and tensor.size < 16 else None


def _width(value: ir.Value | None) -> int | None:
    """The length of the last axis, if known."""
    shape = dims(value)
    last = shape[-1] if shape else None
    return last if isinstance(last, int) else None
