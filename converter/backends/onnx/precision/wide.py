"""Which nodes of a graph stay in float32 when the others are narrowed to float16: decided by the graph and its measured ranges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST

from converter.backends.onnx.precision.linear import parameters, role
from converter.backends.onnx.precision.ranges import ATTENTIONS, ROOM, Ranges, scores_of

LIMIT = float(np.finfo(np.float16).max)
_SMALLEST = float(np.finfo(np.float16).smallest_normal)
MATRIX = 1024
"""Elements from which on a weight is stored once, in one type. Biases, norms and constants are stored in both types if both are needed."""

_BY_TYPE = frozenset(
    (
        *DEFAULT_OP_BLOCK_LIST,  # runtimes have no float16 kernels for these
        *("ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "LpNormalization", "LpPool", "GlobalLpPool"),  # their sums are larger
        # an attribute decides the type of their outputs
        *("EyeLike", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"),
        *("SequenceEmpty", "SequenceConstruct", "SequenceInsert", "SequenceAt", "SplitToSequence", "ConcatFromSequence"),
    )
)
_MEANS = ("ReduceMean", "ReduceSum")
_OF_A_NORM = ("Add", "Sqrt", "Reciprocal", "Div", "Pow", "Mul", "Sub")
_MOVES = ("Reshape", "Transpose", "Unsqueeze", "Squeeze", "Flatten", "Expand", "Slice", "Split", "Concat", "Gather", "Identity", "Tile")
_SUMS = ("Add", "Sub", "Sum", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
_NORMS = ("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization", "InstanceNormalization")
_SCALES = ("Mul", "Div")
_LEAST = ("Add", "Sub", "Max", "Clip", "Where", "Div")
"""What takes a least value, such as a norm's epsilon."""
_BEFORE_DIVISION = ("Sqrt", "Reciprocal", "Pow", "Log", "Expand", "Reshape", "Unsqueeze", "Div")


@dataclass(frozen=True)
class Wide:
    """The nodes that stay in float32, by position in the graph.

    `roles` are layers that are not in float32 in every model: a weight's name without layer numbers, or an operator, with the largest
    magnitude at its inputs and outputs.
    """

    nodes: frozenset[int]
    roles: Mapping[str, float]


def choose(graph: onnx.GraphProto, ranges: Ranges, float32_weights: frozenset[str]) -> Wide:
    """Choose the nodes that stay in float32.

    Args:
        graph: the float32 graph; its constants are initializers.
        ranges: the magnitudes of its values.
        float32_weights: the parameters that transformers keeps in float32, by the module's names.
    """
    return _Choice(graph, ranges, float32_weights).wide()


class _Choice:
    """A graph that is read in both directions. Nodes go by their places."""

    def __init__(self, graph: onnx.GraphProto, ranges: Ranges, float32_weights: frozenset[str]) -> None:
        self._nodes = [*graph.node]
        self._ranges = ranges
        self._producers = {name: place for place, node in enumerate(self._nodes) for name in node.output if name}
        self._consumers: dict[str, list[int]] = defaultdict(list)
        for place, node in enumerate(self._nodes):
            for name in node.input:
                self._consumers[name].append(place)
        self._sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}
        self._stored_in = self._constants()
        self._named = {name for name in self._sizes if not float32_weights.isdisjoint(parameters(name))}

    def wide(self) -> Wide:
        places = range(len(self._nodes))
        large = {place for place in places if any(map(self._is_large, self._floats(place)))}
        named = {place for place in places if any(self._named & self._stored_in.get(name, set()) for name in self._nodes[place].input)}
        stream = named | {
            place for place in large if any(self._is_large(name) for name in self._nodes[place].output if self._is_float(name))
        }
        usual = {*self._usual()} | self._near_zero()
        wide = large | named | usual
        groups = [*self._groups()]
        before = -1
        while len(wide) > before:
            before = len(wide)
            stream = self._downstream(stream, wide)
            wide |= stream
            for group in groups:
                if not wide.isdisjoint(group):
                    wide |= group
        return Wide(frozenset(wide), self._roles((large | named) - usual))

    def _constants(self) -> Mapping[str, set[str]]:
        """The stored tensors that each constant is computed of: no others than these."""
        known = {name: {name} for name in self._sizes}
        for node in self._nodes:
            if any(node.input) and all(name in known for name in node.input if name):
                stored = {tensor for name in node.input if name for tensor in known[name]}
                known.update((name, stored) for name in node.output)
        return known

    def _is_float(self, name: str) -> bool:
        return name in self._ranges.largest

    def _floats(self, place: int) -> Iterator[str]:
        """The float32 values that a node takes and gives."""
        node = self._nodes[place]
        return filter(self._is_float, (*node.input, *node.output, scores_of(node) if node.output else ""))

    def _is_large(self, name: str) -> bool:
        return self._ranges.largest[name] > LIMIT / ROOM

    def _sources(self, place: int) -> list[int]:
        """The nodes that give the activations which a node takes; -1 for an input of the graph."""
        inputs = self._nodes[place].input
        return [self._producers.get(name, -1) for name in inputs if self._is_float(name) and name not in self._stored_in]

    def _usual(self) -> Iterator[int]:
        """The nodes that transformers computes in float32 in any model, those without a kernel, and those with a graph inside."""
        for place, node in enumerate(self._nodes):
            is_unknown = node.op_type in ATTENTIONS and not self._is_float(scores_of(node))
            if is_unknown or node.op_type in _BY_TYPE or any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
                yield place
        yield from self._norms()
        yield from self._before([place for place, node in enumerate(self._nodes) if node.op_type in ("Cos", "Sin")])
        yield from self._integers()

    def _norms(self) -> Iterator[int]:
        """Norms in steps, from the square on: a sum of squares has no room in float16."""
        for place, mean in enumerate(self._nodes):
            before = self._producers.get(mean.input[0]) if mean.op_type in _MEANS else None
            square = self._nodes[before] if before is not None else None
            if square is not None and (square.op_type == "Pow" or (square.op_type == "Mul" and square.input[0] == square.input[1])):
                assert before is not None
                yield before
                yield from self._after(place)

    def _after(self, mean: int) -> Iterator[int]:
        """The nodes of a mean only, up to the node that it scales."""
        chain = {mean}
        place = mean
        while True:
            yield place
            after = self._consumers[self._nodes[place].output[0]]
            if place is not mean and any(source not in chain for source in self._sources(place)):
                return
            if len(after) != 1 or self._nodes[after[0]].op_type not in _OF_A_NORM:
                return
            place = after[0]
            chain.add(place)

    def _before(self, places: Iterable[int]) -> set[int]:
        """These nodes, such as rotary positions, and all that they depend on: an angle of thousands has no digits in float16."""
        waiting = [*places]
        seen: set[int] = set()
        while waiting:
            place = waiting.pop()
            if place not in seen:
                seen.add(place)
                waiting += [self._producers[name] for name in self._nodes[place].input if name in self._producers]
        return seen

    def _integers(self) -> Iterator[int]:
        """Floats between integers and integers, as T5's buckets of positions: another rounding is another bucket."""
        of_integers: set[int] = set()
        for place, node in enumerate(self._nodes):
            small = all(self._sizes.get(name, 0) < MATRIX for name in node.input if self._is_float(name))
            if small and any(map(self._is_float, node.output)) and of_integers.issuperset(self._sources(place)):
                of_integers.add(place)
        ends = [place for place, node in enumerate(self._nodes) if node.op_type == "Cast" and not self._is_float(node.output[0])]
        ends = [place for place in ends if any(source in of_integers for source in self._sources(place))]
        yield from ends
        yield from of_integers & self._before(ends)

    def _near_zero(self) -> set[int]:
        """What computes with a value that float16 makes 0, or a few digits of, before something is divided by it."""
        small = {name for name, size in self._ranges.smallest.items() if size < _SMALLEST}
        places = {self._producers[name] for name in small if name in self._producers}
        for name in small:
            places |= {place for place in self._consumers[name] if self._nodes[place].op_type in _LEAST or name not in self._sizes}
        for place, node in enumerate(self._nodes):
            if node.op_type in _BEFORE_DIVISION and not places.isdisjoint(self._sources(place)):
                places.add(place)
        return places

    def _groups(self) -> Iterator[set[int]]:
        """Nodes that need one common type: the users of one large weight, one computed constant, or one mask.

        A mask is -3.4e38 in float32 and something else in float16: converted, it is an infinity, and too small among large scores.
        """
        of_weights: dict[str, set[int]] = defaultdict(set)
        for place in range(len(self._nodes)):
            for name in self._floats(place):
                for stored in self._stored_in.get(name, ()):
                    if self._sizes[stored] >= MATRIX or name not in self._sizes:
                        of_weights[stored].add(place)
        yield from of_weights.values()
        for name in self._ranges.marked & self._producers.keys():
            yield {self._producers[name], *self._consumers[name]}

    def _downstream(self, stream: Collection[int], wide: Collection[int]) -> set[int]:
        """Where values go that are in float32 because they have to be: through sums, norms and their scaling, as torch promotes them."""
        places = {*stream}
        for place, node in enumerate(self._nodes):
            sources = self._sources(place)
            if places.isdisjoint(sources):
                continue
            scales = node.op_type in _SCALES and all(source in wide or source in places for source in sources)
            if scales or node.op_type in _MOVES or node.op_type in _SUMS or node.op_type in _NORMS:
                places.add(place)
        return places

    def _roles(self, places: Collection[int]) -> Mapping[str, float]:
        """The names of these nodes, without nodes that only move values."""
        roles: dict[str, float] = {}
        for place in sorted(places):
            node = self._nodes[place]
            stored = [tensor for name in node.input for tensor in sorted(self._stored_in.get(name, ())) if self._sizes[tensor] > 1]
            named = [name for name in stored if self._is_float(name)]
            if all(name in self._stored_in for name in node.output) or (not named and node.op_type in ("Shape", *_MOVES)):
                continue
            what = role(named[0]) if named else node.op_type
            roles[what] = max(roles.get(what, 0.0), *(self._ranges.largest[name] for name in self._floats(place)), 0.0)
        return roles
