"""float16 and bfloat16: the tensors stored in 16 bits, and the nodes computed in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper
from onnxruntime.transformers.float16 import ALWAYS_FLOAT_INPUTS

from converter.backends.onnx.files.model_file import read_names
from converter.backends.onnx.precision.linear import parameters
from converter.backends.onnx.precision.ranges import MARK, Ranges
from converter.backends.onnx.precision.wide import LIMIT, MATRIX, choose
from converter.core.typing import Array

_MASKED = LIMIT / 2
"""A mask's 3.4e38 in float16. Scores are below a quarter of the limit, so no sum overflows or overtakes it."""
_LEAST = np.finfo(np.float16).smallest_subnormal
_FLOAT32_OUTPUTS = {
    "LayerNormalization": (1, 2),
    "SimplifiedLayerNormalization": (1,),
    "SkipLayerNormalization": (1, 2),
    "SkipSimplifiedLayerNormalization": (1, 2),
}
"""Outputs of a float16 node that are float32: a norm's mean and deviation."""
_FLOAT16, _FLOAT32 = int(onnx.TensorProto.FLOAT16), int(onnx.TensorProto.FLOAT)


def to_float16(path: Path, ranges: Ranges, float32_weights: Collection[str] = ()) -> tuple[onnx.ModelProto, Mapping[str, float]]:
    """Make a float16 model of a float32 file. Its inputs and outputs stay float32, as clients expect.

    Args:
        path: the float32 file.
        ranges: the magnitudes of its values.
        float32_weights: parameters, by the module's names, whose nodes stay in float32.

    Returns:
        The model, and the layers in float32 that most models have in float16: by role, the largest magnitude.
    """
    model = onnx.load(path)
    _store_constants(model.graph)
    wide = choose(model.graph, ranges, frozenset(float32_weights))
    _Narrowing(model.graph, ranges.largest.keys(), wide.nodes).run()
    del model.graph.value_info[:]
    return model, wide.roles


def to_bfloat16(path: Path, float32_weights: Collection[str] = ()) -> onnx.ModelProto:
    """The model with its matrices stored in bfloat16 and widened when it is loaded: ONNX Runtime has no kernels of bfloat16 on a CPU.

    `float32_weights` are stored in float32.
    """
    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        is_matrix = tensor.data_type == _FLOAT32 and numpy_helper.to_array(tensor).size >= MATRIX
        if is_matrix and frozenset(float32_weights).isdisjoint(parameters(tensor.name)):
            name = tensor.name
            narrow = numpy_helper.to_array(tensor).astype(ir.DataType.BFLOAT16.numpy())
            tensor.CopyFrom(ir.to_proto(ir.Tensor(narrow, name=f"{name}.bfloat16")))
            casts.append(helper.make_node("Cast", [tensor.name], [name], name=f"{name}.widened", to=_FLOAT32))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _store_constants(graph: onnx.GraphProto) -> None:
    """Turn Constant nodes into initializers, so that each consumer can have one in its type."""
    nodes = []
    for node in graph.node:
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type == "Constant" and "value" in attributes:
            graph.initializer.add().CopyFrom(attributes["value"])
            graph.initializer[-1].name = node.output[0]
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


class _Narrowing:
    """Narrows the nodes of a graph except the wide ones. A value between the two is cast once, at its first use."""

    def __init__(self, graph: onnx.GraphProto, floats: Collection[str], wide: Collection[int]) -> None:
        self._graph, self._floats = graph, floats
        self._types = [_FLOAT32 if place in wide else _FLOAT16 for place in range(len(graph.node))]
        self._outputs = {value.name for value in graph.output}
        self._nodes: list[onnx.NodeProto] = []
        self._known: dict[tuple[str, int], str] = {(value.name, _FLOAT32): value.name for value in graph.input}
        """The name of a value in a type."""

    def run(self) -> None:
        self._store()
        for node, kind in zip(self._graph.node, self._types, strict=True):
            self._add(node, kind)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)

    def _store(self) -> None:
        """Store each tensor in the types of the nodes that take it."""
        wanted: dict[str, set[int]] = {name: {_FLOAT32} for name in self._outputs}
        for node, kind in zip(self._graph.node, self._types, strict=True):
            for place, name in enumerate(node.input):
                wanted.setdefault(name, set()).add(_type_taken(node, place, kind))
            for name in read_names([node]).difference(node.input):
                wanted.setdefault(name, set()).add(_FLOAT32)
        for tensor in [*self._graph.initializer]:
            if tensor.name not in self._floats:
                continue
            kinds = wanted.get(tensor.name, {_FLOAT16})
            if _FLOAT32 in kinds:
                self._known[tensor.name, _FLOAT32] = tensor.name
            if _FLOAT16 in kinds:
                name = f"{tensor.name}.float16" if _FLOAT32 in kinds else tensor.name
                self._known[tensor.name, _FLOAT16] = name
                place = self._graph.initializer.add() if _FLOAT32 in kinds else tensor
                place.CopyFrom(_narrow_tensor(tensor, name))

    def _add(self, node: onnx.NodeProto, kind: int) -> None:
        for place, name in enumerate(node.input):
            if name in self._floats:
                node.input[place] = self._value(name, _type_taken(node, place, kind))
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                self._feed(inner)
        if kind == _FLOAT16 and node.output[0] in self._floats:
            _narrow_attributes(node)
        self._nodes.append(node)
        for place, name in enumerate(node.output):
            if name not in self._floats:
                continue
            dtype = _FLOAT32 if place in _FLOAT32_OUTPUTS.get(node.op_type, ()) else kind
            called = f"{name}.float16" if dtype == _FLOAT16 and name in self._outputs else name  # outputs of the graph are float32
            self._known[name, dtype] = node.output[place] = called
            if called != name:
                self._nodes.append(_cast(called, name, _FLOAT32))
                self._known[name, _FLOAT32] = name

    def _value(self, name: str, kind: int) -> str:
        """The name of a value in a type, with a cast if there is none yet."""
        if (name, kind) not in self._known:
            other, suffix = (_FLOAT32, "float16") if kind == _FLOAT16 else (_FLOAT16, "float32")
            made = f"{name}.{suffix}"
            self._nodes.append(_cast(self._known[name, other], made, kind))
            self._known[name, kind] = made
        return self._known[name, kind]

    def _feed(self, inner: onnx.GraphProto) -> None:
        """Give a graph inside a node the values around it in float32, which it stays in."""
        own = {name for node in inner.node for name in node.output} | {value.name for value in (*inner.input, *inner.initializer)}
        for node in inner.node:
            for place, name in enumerate(node.input):
                if name in self._floats and name not in own:
                    node.input[place] = self._value(name, _FLOAT32)
            for attribute in node.attribute:
                for graph in (attribute.g, *attribute.graphs):
                    self._feed(graph)
        for output in inner.output:
            if output.name in self._floats and output.name not in own:
                output.name = self._value(output.name, _FLOAT32)


def _type_taken(node: onnx.NodeProto, place: int, kind: int) -> int:
    """The type that a node of type `kind` takes an input in."""
    return _FLOAT32 if place in ALWAYS_FLOAT_INPUTS.get(node.op_type, ()) else kind


def _cast(name: str, made: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [made], name=f"{made}.cast", to=kind)


def _narrow_attributes(node: onnx.NodeProto) -> None:
    """Let a node whose attributes say float32 output float16."""
    if node.op_type == "ConstantOfShape" and not node.attribute:
        node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(np.zeros(1, np.float32))))
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to":
            attribute.i = _FLOAT16
        elif attribute.HasField("t") and attribute.t.data_type == _FLOAT32:
            attribute.t.CopyFrom(_narrow_tensor(attribute.t, attribute.t.name))


def _narrow_tensor(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(narrow(numpy_helper.to_array(tensor)), name)


def narrow(array: Array) -> Array:
    """The array in float16. Masks stay masks, and nonzero values stay nonzero."""
    sizes = np.abs(array)
    least = np.where((sizes > 0) & (sizes < _LEAST), np.copysign(_LEAST, array), array)
    with np.errstate(over="ignore"):  # nodes with values beyond float16 stay in float32
        made: Array = np.where((sizes >= MARK) & np.isfinite(array), np.copysign(_MASKED, array), least).astype(np.float16)
    return made
