"""The matrices of integers in a file, as its nodes use them: which scales and zero points go with which, and along which axis.

Nothing here goes by a name: a node that takes the scales of another matrix is seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from converter.backends.stored_weight import Quantized
from converter.core.typing import Array

_NOT_STORED = np.full(1, np.nan, np.float32)
"""A scale that is computed, or of another matrix: no weight is near it."""


@dataclass(frozen=True)
class Matrix:
    """A matrix of integers that a node takes.

    `name` is of its integers, `names` are of all stored tensors that make it up. `transposed` says whether the rows of `quantized` are
    columns of the matrix that the node takes: so they are in a product.
    """

    name: str
    names: frozenset[str]
    transposed: bool
    quantized: Quantized


def matrices(graph: onnx.GraphProto, tensors: Mapping[str, Array]) -> Iterator[Matrix]:
    """Yield each matrix of integers that a node of `graph` makes of the stored `tensors`, once if several nodes make the same."""
    reader = _Reader(graph, tensors)
    seen: set[tuple[str, frozenset[str]]] = set()
    for node in graph.node:
        for matrix in reader.matrices(node):
            if (matrix.name, matrix.names) not in seen:
                seen.add((matrix.name, matrix.names))
                yield matrix


class _Reader:
    def __init__(self, graph: onnx.GraphProto, tensors: Mapping[str, Array]) -> None:
        self._tensors = tensors
        self._producers = {name: node for node in graph.node for name in node.output if name}
        self._consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self._consumers[name].append(node)

    def matrices(self, node: onnx.NodeProto) -> Iterator[Matrix]:
        """Those that one node takes."""
        if node.op_type == "MatMulNBits":
            yield self._of_blocks(node)
        elif node.op_type == "MatMulInteger" and self._is_matrix(node.input[1]):
            for factor in self._factors(node):
                yield self._of_channels(node.input[1], self._stored_factor(factor), _input(node, 3), axis=1)
        elif node.op_type == "DequantizeLinear" and self._is_matrix(node.input[0]):
            axis = _attributes(node).get("axis", 1) % 2
            yield self._of_channels(node.input[0], _input(node, 1), _input(node, 2), axis)
        elif node.op_type == "Gather" and self._is_matrix(node.input[0]):
            for factor in self._factors(node):
                yield self._of_channels(node.input[0], self._gathered(factor, node.input[1]), "", axis=0)

    def _is_matrix(self, name: str) -> bool:
        return name in self._tensors and self._tensors[name].ndim == 2 and self._tensors[name].dtype in (np.int8, np.uint8)

    def _of_blocks(self, node: onnx.NodeProto) -> Matrix:
        attributes = _attributes(node)
        rows, columns, bits, block = (attributes[name] for name in ("N", "K", "bits", "block_size"))
        integers, scale, zero_point = node.input[1], node.input[2], _input(node, 3)
        shape = rows, -(-columns // block)
        if zero_point:
            zero_points = unpacked(self._tensors[zero_point].reshape(rows, -1), bits)[:, : shape[1]]
        else:
            zero_points = np.full(shape, 1 << (bits - 1), np.uint8)  # the operator's default
        quantized = Quantized(
            self._tensors[integers].reshape(rows, -1), self._tensors[scale].reshape(shape), zero_points, block, columns, bits
        )
        return Matrix(integers, frozenset(filter(None, (integers, scale, zero_point))), transposed=True, quantized=quantized)

    def _of_channels(self, integers: str, scale: str, zero_point: str, axis: int) -> Matrix:
        """A matrix with one scale for each element of its `axis`, or one for all."""
        array = self._tensors[integers]
        rows = array.T if axis == 1 else array
        scales = self._tensors.get(scale, _NOT_STORED)
        zero_points = self._tensors.get(zero_point, np.zeros(1, np.int8))
        if scales.size not in (1, len(rows)) or zero_points.size not in (1, len(rows)):
            scales, zero_points = _NOT_STORED, np.zeros(1, np.int8)
        shape = len(rows), 1
        quantized = Quantized(
            integers=rows,
            scales=np.broadcast_to(scales.reshape(-1, 1), shape),
            zero_points=np.broadcast_to(zero_points.reshape(-1, 1), shape),
            block=rows.shape[1],
            columns=rows.shape[1],
            bits=8,
        )
        names = frozenset(name for name in (integers, scale, zero_point) if name in self._tensors)
        return Matrix(integers, names, transposed=axis == 1, quantized=quantized)

    def _factors(self, node: onnx.NodeProto) -> Iterator[str]:
        """The scale of a node's integers, behind a Cast."""
        for cast in self._consumers[node.output[0]]:
            for product in self._consumers[cast.output[0]] if cast.op_type == "Cast" else ():
                if product.op_type == "Mul":
                    yield next((name for name in product.input if name != cast.output[0]), "")

    def _stored_factor(self, factor: str) -> str:
        """The scale of a matrix in its product with the scale of the activations."""
        producer = self._producers.get(factor)
        names = producer.input if producer is not None and producer.op_type == "Mul" else ()
        return next((name for name in names if name in self._tensors), "")

    def _gathered(self, factor: str, indices: str) -> str:
        """The scales of rows, if they are gathered by the same indices as the rows."""
        producer = self._producers.get(factor)
        return producer.input[0] if producer is not None and producer.op_type == "Gather" and producer.input[1] == indices else ""


def unpacked(packed: Array, bits: int) -> Array:
    """The integers of each row of bytes: two a byte if they have 4 `bits`, the low one first."""
    if bits == 8:
        return packed
    return np.stack([packed & 15, packed >> 4], axis=-1).reshape(len(packed), -1)


def _attributes(node: onnx.NodeProto) -> dict[str, int]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _input(node: onnx.NodeProto, place: int) -> str:
    return node.input[place] if len(node.input) > place else ""
