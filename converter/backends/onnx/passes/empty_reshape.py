"""Make Reshape accept an empty tensor: an encoder gets no rows once the cache holds its output."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir


class AllowEmptyReshapePass(ir.passes.InPlacePass):
    """Set `allowzero`, and write each length that the graph knows in place of -1."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Change the reshapes of `model`."""
        reshapes = [node for node in model.graph.all_nodes() if node.op_type == "Reshape"]
        for node in reshapes:
            _allow_empty(node)
        return ir.passes.PassResult(model, bool(reshapes))


def _allow_empty(node: ir.Node) -> None:
    wanted, shape = node.inputs[1], node.outputs[0].shape
    assert wanted is not None
    constant = ir.convenience.get_const_tensor(wanted)
    parts = [constant.numpy()] if constant else [_constant(part) for part in _parts(wanted)]
    literals = [int(number) for part in parts if part is not None for number in part]
    if constant and shape is not None:
        known = [_known(number, shape[axis]) for axis, number in enumerate(literals)]
        if known != literals:
            node.replace_input_with(1, _value(node, known))
    elif not constant and -1 in literals and shape is not None:
        _settle(wanted, shape)
    if not constant and 0 not in literals:  # a literal 0 copies the length of the input
        node.attributes["allowzero"] = ir.AttrInt64("allowzero", 1)


def _known(number: int, length: object) -> int:
    return length if number == -1 and isinstance(length, int) else number


def _parts(value: ir.Value) -> Iterator[ir.Value]:
    """The inputs of the Concat that makes a shape; the shape itself without a Concat."""
    node = value.producer()
    if node is not None and node.op_type == "Concat":
        yield from (part for part in node.inputs if part is not None)
    else:
        yield value


def _constant(value: ir.Value) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]] | None:
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def _settle(wanted: ir.Value, shape: ir.Shape) -> None:
    """Replace -1 in a Concat of single lengths by the length that the graph knows."""
    node = wanted.producer()
    if node is None or len(node.inputs) != len(shape):
        return
    for place, (part, length) in enumerate(zip(node.inputs, shape, strict=True)):
        array = None if part is None else _constant(part)
        if array is not None and array.tolist() == [-1] and isinstance(length, int):
            node.replace_input_with(place, _value(node, [length]))


def _value(node: ir.Node, numbers: list[int]) -> ir.Value:
    """A constant, inserted before `node`."""
    constant = ir.node("Constant", [], attributes={"value": ir.tensor(np.array(numbers, np.int64))})
    assert node.graph is not None
    node.graph.insert_before(node, constant)
    return constant.outputs[0]
