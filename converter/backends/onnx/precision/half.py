"""float16 and bfloat16: what is stored in 16 bits, and what is computed in them."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

_MEANS = ("ReduceMean", "ReduceSum")
_OF_A_NORM = ("Add", "Sqrt", "Reciprocal", "Div", "Pow", "Mul", "Sub")
_MATRIX = 1024
"""Elements from which on a tensor is stored in bfloat16: smaller ones are biases and norms, which save nothing."""


def to_float16(path: Path) -> onnx.ModelProto:
    """The model in float16; its inputs and outputs stay float32, which every client feeds and reads."""
    blocked = [*_wide(onnx.load(path, load_external_data=False).graph)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the float32 number .* will be truncated")  # by what that costs it is judged
        model: onnx.ModelProto = convert_float_to_float16(str(path), keep_io_types=True, node_block_list=blocked)
    _join_casts(model.graph)
    del model.graph.value_info[:]
    _sort(model.graph)
    return model


def to_bfloat16(path: Path) -> onnx.ModelProto:
    """The model with its matrices stored in bfloat16 and widened when it is loaded: ONNX Runtime has no kernels of bfloat16 on a CPU."""
    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and numpy_helper.to_array(tensor).size >= _MATRIX:
            name = tensor.name
            narrow = numpy_helper.to_array(tensor).astype(ir.DataType.BFLOAT16.numpy())
            tensor.CopyFrom(ir.to_proto(ir.Tensor(narrow, name=f"{name}.bfloat16")))
            casts.append(helper.make_node("Cast", [tensor.name], [name], name=f"{name}.widened", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _wide(graph: onnx.GraphProto) -> Iterator[str]:
    """The nodes that float16 has no room or no digits for, by name; transformers computes them in float32 too.

    Norms in steps, from the square on: a sum of squares has more than 65,504. And the angles of rotary positions: an angle of
    thousands has no digit behind the point.
    """
    producers = {name: node for node in graph.node for name in node.output}
    consumers = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            consumers[name].append(node)
    for mean in graph.node:
        square = producers.get(mean.input[0]) if mean.op_type in _MEANS else None
        if square is not None and (square.op_type == "Pow" or (square.op_type == "Mul" and square.input[0] == square.input[1])):
            yield square.name
            yield from _after(mean, producers, consumers)
    waiting = [node for node in graph.node if node.op_type in ("Cos", "Sin")]
    seen: set[str] = set()
    while waiting:
        node = waiting.pop()
        if node.name not in seen:
            seen.add(node.name)
            waiting += [producers[name] for name in node.input if name in producers]
    yield from seen


def _after(mean: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], consumers: Mapping[str, list[onnx.NodeProto]]) -> Iterator[str]:
    """The mean and what follows it alone, to where it scales something else."""
    chain = {mean.output[0]}
    found = mean
    while True:
        yield found.name
        others = [producers[name] for name in found.input if name not in chain and name in producers]
        after = consumers[found.output[0]]
        if found is not mean and any(each.op_type != "Constant" for each in others):
            return
        if len(after) != 1 or after[0].op_type not in _OF_A_NORM:
            return
        found = after[0]
        chain.add(found.output[0])


def _join_casts(graph: onnx.GraphProto) -> None:
    """Have a value that is narrowed to float16 and widened again at once stay what it was: the way through float16 loses it."""
    narrowed = {node.output[0]: node.input[0] for node in graph.node if _casts_to(node, onnx.TensorProto.FLOAT16)}
    widened = {
        node.output[0]: narrowed[node.input[0]]
        for node in graph.node
        if _casts_to(node, onnx.TensorProto.FLOAT) and node.input[0] in narrowed
    }
    of_float32 = {value.name for value in graph.value_info if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    widened = {name: before for name, before in widened.items() if before in of_float32}
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in widened:
                node.input[place] = widened[name]
    taken = outputs | {name for node in graph.node for name in node.input}
    kept = [node for node in graph.node if node.op_type != "Cast" or node.output[0] in taken]
    kept_names = outputs | {name for node in kept for name in node.input}
    kept = [node for node in kept if node.op_type != "Cast" or node.output[0] in kept_names]
    del graph.node[:]
    graph.node.extend(kept)


def _casts_to(node: onnx.NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and any(each.name == "to" and each.i == kind for each in node.attribute)


def _sort(graph: onnx.GraphProto) -> None:
    """Put the nodes into the order of their data: casts were put at the end."""
    sorted_graph = ir.serde.deserialize_graph(graph)
    sorted_graph.sort()
    graph.CopyFrom(ir.serde.serialize_graph(sorted_graph))
