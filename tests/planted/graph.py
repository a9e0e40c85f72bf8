"""Surgery on an ONNX graph: find, replace, insert."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Array = np.ndarray[Any, np.dtype[Any]]

Surgery = Callable[["Graph"], None]
"""Plants a fault in a graph."""


class Graph:
    """The graph of an ONNX file. Nodes are added at its beginning (`first`), at its end (`last`) or behind a value (`after`)."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.proto = model.graph
        self._added = 0
        self._count = 0

    @classmethod
    def load(cls, path: Path) -> Graph:
        return cls(onnx.load(path))

    def save(self, path: Path) -> None:
        onnx.save(self.model, path)

    # --- find -----------------------------------------------------------------------------------------------------------

    def nodes(self, *kinds: str) -> list[onnx.NodeProto]:
        """The nodes of these operators, or all, in order. Raises LookupError if there are none."""
        nodes = [node for node in self.proto.node if node.op_type in kinds or not kinds]
        if not nodes:
            raise LookupError(f"the graph has no {' or '.join(kinds)}")
        return nodes

    def users(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that take a value."""
        return [node for node in self.proto.node if name in node.input]

    def maker(self, name: str) -> onnx.NodeProto:
        """The node that gives a value."""
        (node,) = [node for node in self.nodes() if name in node.output]
        return node

    def has(self, name: str) -> bool:
        return any(value.name == name for value in (*self.proto.input, *self.proto.output))

    @property
    def initializers(self) -> dict[str, onnx.TensorProto]:
        return {tensor.name: tensor for tensor in self.proto.initializer}

    def weight_names(self, ending: str) -> list[str]:
        """The stored tensors whose names end so. Raises LookupError if there are none."""
        names = [name for name in self.initializers if name.endswith(ending)]
        if not names:
            raise LookupError(f"no stored tensor ends with {ending}")
        return names

    def tensor(self, name: str) -> Array:
        """A copy of a stored tensor."""
        return np.array(numpy_helper.to_array(self.initializers[name]))

    def is_constant(self, name: str) -> bool:
        return name in self.initializers or any(node.op_type == "Constant" and node.output[0] == name for node in self.proto.node)

    def constant_value(self, name: str) -> Array:
        """The value of a constant, whether it is stored or a node."""
        if name in self.initializers:
            return self.tensor(name)
        (attribute,) = self.maker(name).attribute
        return numpy_helper.to_array(attribute.t) if attribute.name == "value" else np.asarray(helper.get_attribute_value(attribute))

    def constants_of(self, node: onnx.NodeProto) -> list[str]:
        return [name for name in node.input if name and self.is_constant(name)]

    # --- replace ---------------------------------------------------------------------------------------------------------

    def set_tensor(self, name: str, array: Array) -> None:
        self.initializers[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))

    def set_attribute(self, node: onnx.NodeProto, name: str, value: Any) -> None:
        kept = [attribute for attribute in node.attribute if attribute.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    def redirect(self, name: str, other: str, users: Collection[onnx.NodeProto] | None = None) -> None:
        """Let the nodes that read `name`, or those of them in `users`, read `other`; nodes that make `other` from `name` stay."""
        for node in self.users(name):
            if other not in node.output and (users is None or any(node is user for user in users)):
                node.input[:] = [other if value == name else value for value in node.input]

    def rename(self, name: str, other: str) -> None:
        """Call a value by another name, wherever it is made and taken; the names of the graph's own inputs and outputs stay."""
        for node in self.proto.node:
            node.input[:] = [other if value == name else value for value in node.input]
            node.output[:] = [other if value == name else value for value in node.output]

    def remove(self, node: onnx.NodeProto) -> None:
        self.proto.node.remove(node)

    # --- insert ----------------------------------------------------------------------------------------------------------

    def constant(self, value: Any, dtype: str = "int64") -> str:
        return self._insert(self._next(), "Constant", [], value=numpy_helper.from_array(np.array(value, dtype)))

    def first(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node at the beginning, behind those added so before. Returns its output."""
        return self._insert(self._next(), kind, inputs, **attributes)

    def after(self, name: str, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node right behind the one that gives `name`."""
        place = next(index for index, node in enumerate(self.proto.node) if name in node.output) + 1
        return self._insert(place, kind, inputs, **attributes)

    def last(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        return self._insert(len(self.proto.node), kind, inputs, output=output, **attributes)

    def inner(self, output: str) -> str:
        """Free the name of a graph's output for another node. Returns the value's new name."""
        inside = f"{output} inside"
        self.rename(output, inside)
        return inside

    def _next(self) -> int:
        self._added += 1
        return self._added - 1

    def _insert(self, place: int, kind: str, inputs: Collection[str], output: str = "", **attributes: Any) -> str:
        self._count += 1
        name = output or f"planted_{self._count}"
        domain = attributes.pop("domain", "")
        self.proto.node.insert(place, helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name

    # --- what faults are made of --------------------------------------------------------------------------------------------

    def length(self, value: str, axis: int) -> str:
        """The length of an axis of an input, as a number."""
        shape = self.first("Shape", value, start=axis, end=axis + 1)
        return self.first("Squeeze", shape)

    def replace_input(self, name: str, make: Callable[[Graph, str], str]) -> None:
        """Let the graph compute with what `make` makes of an input."""
        users = self.users(name)
        self.redirect(name, make(self, name), users)

    def replace_output(self, name: str, make: Callable[[Graph, str], str]) -> None:
        """Let the graph give what `make` makes of an output."""
        self.last("Identity", make(self, self.inner(name)), output=name)

    def outputs(self, beginning: str) -> Iterator[str]:
        """The names of the outputs that begin so."""
        return (value.name for value in self.proto.output if value.name.startswith(beginning))
