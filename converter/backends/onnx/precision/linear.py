"""The file that quantizers start from: each product with weights is a MatMul whose second input is a stored matrix, inner axis first.

A quantizer looks for that and for nothing else. As captured, a linear layer is a Gemm with its weight transposed, or a MatMul behind a
Transpose, and once fused a FusedMatMul: of these onnxruntime's quantizers make nothing, and say nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from converter.backends.onnx.files.model_file import DATA_SUFFIX, read_names
from converter.backends.onnx.files.packed_weights import PackedWeight

_SMALLEST = 256
"""Elements of the smallest matrix that is worth its own scale."""

_SHARE = 0.05
"""The share of all elements that makes an embedding worth quantizing: words have it, positions and types do not."""


@dataclass(frozen=True)
class Layer:
    """A node with stored weights that may be quantized: a MatMul, or, of an embedding, a Gather. `size` is in elements."""

    file: str
    node: str
    weight: str
    size: int
    is_embedding: bool

    @property
    def role(self) -> str:
        """The name of its weight without the layer's number. A table may be a matrix of a product too."""
        return f"{role(self.weight)} as embedding" if self.is_embedding else role(self.weight)


_TRANSPOSED = ".transposed"
_MADE_OF = re.compile(r"(\.transposed|\.b?float16|\.int8|_quantized|_Q[48])$")
"""Suffixes of a weight's name in files of other precisions; the last two are from onnxruntime's quantizers."""
_PRODUCTS = ("MatMul", "Gemm", "FusedMatMul")
_PLAIN = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transBatchA": 0, "transBatchB": 0}
"""Attributes that MatMul lacks, with their neutral values."""


def role(weight: str) -> str:
    """A stored weight's name without the number of its layer."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", weight.removesuffix(_TRANSPOSED))


def parameters(weight: str) -> tuple[str, ...]:
    """The module's parameters that a stored weight is made of."""
    try:
        return PackedWeight.named(weight.removesuffix(_TRANSPOSED)).of
    except ValueError:  # a constant of the graph's own
        return (weight,)


def weight_of(name: str) -> tuple[PackedWeight, bool]:
    """The recipe of the weight that a stored tensor is called after, in whichever precision, and whether its matrix is transposed.

    Raises ValueError for a constant of the graph's own.
    """
    transposed = False
    while end := _MADE_OF.search(name):
        transposed ^= end[1] == _TRANSPOSED
        name = name[: end.start()]
    return PackedWeight.named(name), transposed


def prepare(source: Path, target: Path) -> tuple[Layer, ...]:
    """Write the model of `source` to `target` in that form, with external data, and return its layers that can be quantized."""
    model = onnx.load(source)
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    transposes = {node.output[0]: node.input[0] for node in graph.node if _turns_a_matrix(node, stored)}
    nodes = [part for node in graph.node for part in _rewritten(node, transposes, stored)]
    for number, node in enumerate(nodes):
        node.name = node.name or f"node_{number}"
    outputs = {output.name for output in graph.output}
    names = outputs | read_names(nodes)
    kept = [node for node in nodes if node.output[0] not in transposes or node.output[0] in names]
    names = outputs | read_names(kept)
    del graph.node[:]
    graph.node.extend(kept)
    del graph.initializer[:]
    graph.initializer.extend(tensor for name, tensor in stored.items() if name in names)
    onnx.save(model, target, save_as_external_data=True, location=f"{target.name}{DATA_SUFFIX}", size_threshold=1024)
    return tuple(_layers(source.name, kept, stored))


def _turns_a_matrix(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> bool:
    is_stored = node.op_type == "Transpose" and node.input[0] in stored and len(stored[node.input[0]].dims) == 2
    return is_stored and all(list(attribute.ints) in ([], [1, 0]) for attribute in node.attribute if attribute.name == "perm")


def _rewritten(node: onnx.NodeProto, transposes: dict[str, str], stored: dict[str, onnx.TensorProto]) -> Iterator[onnx.NodeProto]:
    """The node, or what computes the same of it by a MatMul with a stored matrix."""
    if node.op_type not in _PRODUCTS:
        yield node
        return
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    matrix = transposes.get(node.input[1], node.input[1])
    if matrix not in stored or any(attributes.get(name, usual) != usual for name, usual in _PLAIN.items()):
        yield node
        return
    turned = bool(attributes.get("transB", 0)) != (node.input[1] in transposes)
    has_bias = node.op_type == "Gemm" and len(node.input) > 2 and bool(node.input[2])
    product = f"{node.output[0]}.product" if has_bias else node.output[0]
    yield helper.make_node("MatMul", [node.input[0], _transposed(matrix, stored) if turned else matrix], [product], name=node.name)
    if has_bias:
        yield helper.make_node("Add", [product, node.input[2]], [node.output[0]], name=f"{node.name}.bias")


def _transposed(name: str, stored: dict[str, onnx.TensorProto]) -> str:
    """The name of a stored matrix's transpose, which is stored too from here on."""
    turned = f"{name}{_TRANSPOSED}"
    if turned not in stored:
        stored[turned] = numpy_helper.from_array(np.ascontiguousarray(numpy_helper.to_array(stored[name]).T), turned)
    return turned


def _layers(file: str, nodes: list[onnx.NodeProto], stored: dict[str, onnx.TensorProto]) -> Iterator[Layer]:
    total = sum(math.prod(tensor.dims) for tensor in stored.values())
    for node in nodes:
        name = node.input[0] if node.op_type == "Gather" else node.input[1] if node.op_type == "MatMul" else ""
        tensor = stored.get(name)
        if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) != 2:
            continue
        size = tensor.dims[0] * tensor.dims[1]
        along_rows = all(attribute.i == 0 for attribute in node.attribute if attribute.name == "axis")
        is_embedding = node.op_type == "Gather"
        if size >= (_SHARE * total if is_embedding else _SMALLEST) and along_rows:
            yield Layer(file, node.name, name, size, is_embedding)
