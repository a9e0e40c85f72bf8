"""How large the values of a float32 graph are: measured by ONNX Runtime, reduced to a number a value inside of the graph itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from converter.backends.onnx.files import model_file
from converter.backends.onnx.session import open_graph, values
from converter.core.typing import Array

ROOM = 4
"""How many times larger other texts may make a value than the texts that it was measured on."""
MARK = float(np.finfo(np.float32).max) / ROOM
"""From here on a value is a mask, which a softmax turns into 0."""

_SMALLEST, _LARGEST, _WHOLE = ".smallest", ".largest", ".whole"
ATTENTIONS = ("Attention", "MultiHeadAttention", "GroupQueryAttention")
"""ONNX Runtime's own. Their first inputs are states and packed weights, or else queries and keys."""
_DIVIDED_BY = {"Div": 1, "Reciprocal": 0, "Log": 0}
"""Operators that give no number for 0, and the input which must not be 0."""


@dataclass(frozen=True)
class Ranges:
    """The magnitudes of the values of a graph, by name.

    `largest` has every value in float32, weights too; masks and infinities do not count. `smallest` has, without 0, the values that
    are divided by, and constants of one element. `marked` are the values that hold masks.
    """

    largest: Mapping[str, float]
    smallest: Mapping[str, float]
    marked: frozenset[str]


def measure(path: Path, feeds: Iterable[Mapping[str, Array]]) -> Ranges:
    """Measure the values of the float32 file `path`, called with each of `feeds`.

    Raises ConversionError with the runtime's own words if it does not load the file.
    """
    stored = model_file.read(path)
    ranges = _MeasuredRanges()
    for name, array in stored.weights():
        if array.dtype == np.float32:
            ranges.add(name, array, is_divisor=array.size == 1)
    constants = {name for node in stored.skeleton.graph.node if node.op_type == "Constant" for name in node.output}
    computed = {*values(stored, "float32")} - constants
    divisors = {
        node.input[_DIVIDED_BY[node.op_type]]
        for node in stored.skeleton.graph.node
        if node.op_type in _DIVIDED_BY and node.input[_DIVIDED_BY[node.op_type]] in computed
    }
    graph = stored.skeleton.graph
    _reduce(graph, computed, divisors)
    session = open_graph(stored.with_external_weights(), path.parent, as_written=True)
    names = [value.name for value in graph.output]
    for arrays in feeds:
        for name, array in arrays.items():
            if array.dtype == np.float32:
                ranges.add(name, array)
        for name, value in zip(names, session.run(names, dict(arrays)), strict=True):
            ranges.add_reduced(name, float(value))
    return Ranges(ranges.largest, {name: value for name, value in ranges.smallest.items() if np.isfinite(value)}, frozenset(ranges.marked))


class _MeasuredRanges:
    """The ranges seen so far."""

    def __init__(self) -> None:
        self.largest: dict[str, float] = defaultdict(float)
        self.smallest: dict[str, float] = defaultdict(lambda: float("inf"))
        self.marked: set[str] = set()

    def add(self, name: str, array: Array, *, is_divisor: bool = False) -> None:
        """Take an array into account that is at hand."""
        whole = max(abs(float(array.max(initial=0))), abs(float(array.min(initial=0))))  # without a copy of a mapped weight
        if whole >= MARK:
            self.marked.add(name)
            whole = float(np.abs(array).max(initial=0, where=np.abs(array) < MARK))
        self.largest[name] = max(self.largest[name], whole)
        if is_divisor and whole:
            self.smallest[name] = min(self.smallest[name], whole)

    def add_reduced(self, output: str, value: float) -> None:
        """Take a reduced value of the graph into account."""
        if output.endswith(_SMALLEST):
            name = output.removesuffix(_SMALLEST)
            self.smallest[name] = min(self.smallest[name], value)
        elif output.endswith(_LARGEST):
            name = output.removesuffix(_LARGEST)
            self.largest[name] = max(self.largest[name], value)
        elif value >= MARK:
            self.marked.add(output.removesuffix(_WHOLE))


def _reduce(graph: onnx.GraphProto, computed: Iterable[str], divisors: Iterable[str]) -> None:
    """Let the graph output reductions of its `computed` values only, so that the values themselves are freed."""
    wanted, reduced = {*computed}, {*divisors}
    graph.initializer.append(numpy_helper.from_array(np.array([-1]), "last.of_ranges"))
    graph.initializer.extend(
        numpy_helper.from_array(np.array(number, np.float32), f"{name}.of_ranges")
        for name, number in (("mark", MARK), ("zero", 0), ("none", np.inf))
    )
    nodes = []
    outputs = []
    for node in graph.node:
        nodes.append(node)
        for name in node.output:
            if name in wanted:
                made = [*_reductions(name, is_divisor=name in reduced)]
                nodes += made
                outputs += [part.output[0] for part in made if part.op_type.startswith("Reduce")]
        if node.op_type in ATTENTIONS and len(node.input) > 1 and node.input[1]:
            made = [*_scores(node)]
            nodes += made
            outputs += [made[-1].output[0]]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)


def _reductions(name: str, *, is_divisor: bool) -> Iterator[onnx.NodeProto]:
    """The nodes that find the largest magnitude of a value with its masks, the same without, and the smallest but 0 of a divisor."""
    sizes, is_quantity, quantities = (f"{name}.{part}" for part in ("sizes", "is_quantity", "quantities"))
    yield helper.make_node("Abs", [name], [sizes])
    yield helper.make_node("Less", [sizes, "mark.of_ranges"], [is_quantity])
    yield helper.make_node("Where", [is_quantity, sizes, "zero.of_ranges"], [quantities])
    yield helper.make_node("ReduceMax", [sizes], [f"{name}{_WHOLE}"], keepdims=0)
    yield helper.make_node("ReduceMax", [quantities], [f"{name}{_LARGEST}"], keepdims=0)
    if is_divisor:
        yield helper.make_node("Greater", [sizes, "zero.of_ranges"], [f"{name}.is_some"])
        yield helper.make_node("Where", [f"{name}.is_some", sizes, "none.of_ranges"], [f"{name}.some"])
        yield helper.make_node("ReduceMin", [f"{name}.some"], [f"{name}{_SMALLEST}"], keepdims=0)


def _scores(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """The nodes that find how large the scores inside of an attention can be: the longest query times the longest key, times the scale."""
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    name = scores_of(node)
    of = {"query": node.input[0], "key": node.input[1]}
    if node.op_type == "Attention":
        of = {"query": f"{name}.queries", "key": f"{name}.keys"}
        sizes = numpy_helper.from_array(np.array(attributes["qkv_hidden_sizes"])) if "qkv_hidden_sizes" in attributes else None
        parts = [f"{name}.sum"] if sizes is None else [f"{name}.sum", f"{name}.sizes"]
        yield helper.make_node("MatMul", [node.input[0], node.input[1]], [f"{name}.product"])
        yield helper.make_node(
            "Add", [f"{name}.product", node.input[2] if len(node.input) > 2 and node.input[2] else "zero.of_ranges"], [f"{name}.sum"]
        )
        if sizes is not None:
            yield helper.make_node("Constant", [], [f"{name}.sizes"], value=sizes)
        made = [of["query"], of["key"], f"{name}.values"]
        yield helper.make_node("Split", parts, made, axis=-1, num_outputs=3 if sizes is None else None)
    heads = numpy_helper.from_array(np.array([attributes["num_heads"]]))
    yield helper.make_node("Constant", [], [f"{name}.heads"], value=heads)
    yield helper.make_node("Shape", [of["query"]], [f"{name}.width"], start=-1)
    yield helper.make_node("Div", [f"{name}.width", f"{name}.heads"], [f"{name}.size"])
    yield helper.make_node("Concat", ["last.of_ranges", f"{name}.size"], [f"{name}.shape"], axis=0)
    for part, what in of.items():
        yield helper.make_node("Reshape", [what, f"{name}.shape"], [f"{name}.{part}.rows"])
        yield helper.make_node("ReduceL2", [f"{name}.{part}.rows", "last.of_ranges"], [f"{name}.{part}.lengths"])
        yield helper.make_node("ReduceMax", [f"{name}.{part}.lengths"], [f"{name}.{part}.longest"], keepdims=0)
    yield helper.make_node("Mul", [f"{name}.query.longest", f"{name}.key.longest"], [f"{name}.unscaled"])
    if attributes.get("scale"):
        scale = numpy_helper.from_array(np.array(attributes["scale"], np.float32))
        yield helper.make_node("Constant", [], [f"{name}.scale"], value=scale)
    else:
        yield helper.make_node("Cast", [f"{name}.size"], [f"{name}.size.of_floats"], to=onnx.TensorProto.FLOAT)
        yield helper.make_node("Sqrt", [f"{name}.size.of_floats"], [f"{name}.root"])
        yield helper.make_node("Reciprocal", [f"{name}.root"], [f"{name}.scale"])
    yield helper.make_node("Mul", [f"{name}.unscaled", f"{name}.scale"], [f"{name}.scaled"])
    yield helper.make_node("ReduceMax", [f"{name}.scaled"], [f"{name}{_LARGEST}"], keepdims=0)


def scores_of(node: onnx.NodeProto) -> str:
    """The name, among the ranges, of the scores inside an attention that is one node."""
    return f"{node.output[0]}.scores"
