"""Tokens as the rows of a matrix, those of one place after those of the place before, from one linear layer to the next.

A Gemm takes a matrix, so a capture makes one of (batch, sequence, width) before each and undoes that behind it, with a shape that it
computes. What works on each token by itself takes a matrix as well, so it is made once, and undone where an axis is asked for. With the
sequence as its first axis a product reads the heads as they lie (`transBatchA` of FusedMatMul), where one with the batch as its first
takes a transposed copy of queries, keys and values. onnxscript and transformers have no rule for either: theirs make of a Gemm a MatMul and
an Add, which take longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common as passes

from converter.backends.onnx.passes.symbolic_shapes import Dim, Lengths, dims

_OF_ONE = frozenset({"Cast", "Elu", "Erf", "Exp", "Gelu", "LeakyRelu", "Neg", "Reciprocal", "Relu", "Sigmoid", "Sqrt", "Tanh"})
_OF_TWO = frozenset({"Add", "Div", "Mul", "Pow", "Sub"})
_OF_LAST = frozenset({"LayerNormalization", "ReduceMean", "Split"})
"""What works on each number, on two numbers, and on each row."""

_AXIS = 2  # of what is in a token, behind batch and sequence


def flatten_tokens(model: ir.Model) -> int:
    """Keep tokens as rows wherever nothing asks for their axes; how many linear layers take and give them so."""
    rows = _Rows(model.graph, Lengths(model.graph))
    for node in list(model.graph):
        rows.take(node)
    passes.RemoveUnusedNodesPass()(model)
    return rows.linear


class _Rows:
    """The matrix of each value that has one, while the nodes are gone through in their order."""

    def __init__(self, graph: ir.Graph, lengths: Lengths) -> None:
        self.linear = 0
        self._graph = graph
        self._lengths = lengths
        self._of: dict[ir.Value, ir.Value] = {}

    def take(self, node: ir.Node) -> None:
        """Put in the place of a node what works on rows, if it can."""
        if node.domain:
            return
        if node.op_type == "Gemm":
            self._take_linear(node)
        elif node.op_type == "Reshape":
            tokens = node.inputs[0]
            if tokens is not None and tokens in self._of and self._splits(node, tokens):
                self._undo(node, self._of[tokens], node.outputs[0])
        elif node.op_type in _OF_ONE | _OF_TWO | _OF_LAST and any(value in self._of for value in node.inputs):
            inputs = list(self._inputs(node))
            if None not in inputs and all(self._tokens(output) for output in node.outputs):
                self._replace(node, [value for value in inputs if value is not None])

    def _take_linear(self, node: ir.Node) -> None:
        """A linear layer whose rows are tokens, and whatever makes tokens again of what it gives."""
        tokens, bias = _origin(node.inputs[0]), dims(node.inputs[2]) if len(node.inputs) > 2 else ()
        if tokens is None or not self._tokens(tokens) or _width(tokens) != _taken(node) or bias is None or len(bias) > 1:
            return
        undone = [user for user, _ in node.outputs[0].uses()]
        if node.outputs[0].is_graph_output() or not all(user.op_type == "Reshape" and self._splits(user, tokens) for user in undone):
            return
        node.replace_input_with(0, self._matrix(tokens, node))
        node.outputs[0].shape, node.outputs[0].type = None, tokens.type
        self.linear += 1
        for user in undone:
            self._undo(user, node.outputs[0], user.outputs[0])

    def _tokens(self, value: ir.Value) -> bool:
        """Whether it is (batch, sequence, width), the first two of which are two axes of the inputs."""
        shape = self._layout(value)
        return len(shape) == _AXIS + 1 and isinstance(shape[0], str) and shape[0] != shape[1]

    def _splits(self, reshape: ir.Node, tokens: ir.Value) -> bool:
        """Whether it makes (batch, sequence, …) of the rows of `tokens`: what is in each is laid out anew, and nothing else."""
        shape = self._layout(reshape.outputs[0])
        return bool(shape) and shape[:_AXIS] == self._layout(tokens)[:_AXIS]

    def _layout(self, value: ir.Value | None) -> tuple[Dim, ...]:
        """Its shape if it is (batch, sequence, …), all that is in a token being known; nothing otherwise."""
        shape = dims(value) or ()
        inner = shape[_AXIS:]
        return shape if inner and self._lengths.knows(shape) and all(isinstance(dim, int) for dim in inner) else ()

    def _inputs(self, node: ir.Node) -> Iterator[ir.Value | None]:
        """What it takes instead, None for what cannot be had."""
        shapes = [shape for value in node.inputs if value in self._of and (shape := dims(value))]
        leading = shapes[0][:_AXIS]
        if node.op_type in _OF_LAST:
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
        """The rows of tokens: those there are, or made before a node."""
        if tokens not in self._of:
            parts = _origin(tokens)  # heads are put together by the Reshape that makes the matrix
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
        """Put in the place of a value what its rows are laid out to; where nothing takes it, it goes."""
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
        made = ir.node("Reshape", [value, self._lengths.value(shape)], attributes={"allowzero": int(-1 not in shape)})
        _describe(made.outputs[0], [None if dim == -1 else dim for dim in shape], value)
        self._graph.insert_before(before, made)
        return made.outputs[0]

    def _transposed(self, value: ir.Value, before: ir.Node) -> ir.Value:
        """With its first two axes exchanged; a transposition of one that there is comes to one."""
        first, second, *inner = dims(value) or ()
        perm = [1, 0, *range(_AXIS, _AXIS + len(inner))]
        made = ir.node("Transpose", [value], attributes={"perm": perm})
        _describe(made.outputs[0], (second, first, *inner), value)
        self._graph.insert_before(before, made)
        return made.outputs[0]


def _origin(value: ir.Value | None) -> ir.Value | None:
    """What it is a Reshape of."""
    producer = value.producer() if value is not None else None
    return producer.inputs[0] if producer is not None and producer.op_type == "Reshape" and not producer.domain else None


def _taken(gemm: ir.Node) -> int | None:
    """The width of the rows that a Gemm takes, by its weight; None where its weight is computed, or it is of another form."""
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
    """Say what is known of a value: it is as long as that, and of the type of another."""
    made.shape, made.type = ir.Shape(shape), like.type


def _constant(value: ir.Value | None) -> list[int] | None:
    """The whole numbers that a value is, if it is known to be some."""
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return [int(number) for number in np.ravel(tensor.numpy())] if tensor is not None and tensor.size < 16 else None


def _width(value: ir.Value | None) -> int | None:
    """How long its last axis is, if that is known."""
    shape = dims(value)
    last = shape[-1] if shape else None
    return last if isinstance(last, int) else None
