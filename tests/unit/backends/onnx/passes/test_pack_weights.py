"""A Transpose or Concat of weights alone becomes one weight that is named after its recipe."""

from __future__ import annotations

import onnx_ir as ir
import torch

from converter.backends.onnx.passes.pack_weights import PackWeightsPass, untied_names


def weight(name: str) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape([3, 2]), type=ir.TensorType(ir.DataType.FLOAT))


def made_of(*values: ir.Value, **attributes: object) -> ir.Node:
    node = ir.node("Concat" if "axis" in attributes else "Transpose", [*values], attributes=attributes)  # type: ignore[arg-type]
    node.outputs[0].shape, node.outputs[0].type = ir.Shape([None, None]), ir.TensorType(ir.DataType.FLOAT)
    return node


def graph(*nodes: ir.Node) -> ir.Graph:
    out = ir.node("Identity", [nodes[-1].outputs[0]])
    return ir.Graph([], out.outputs, nodes=[*nodes, out], opset_imports={"": 20})


def named(made: ir.Graph) -> list[str | None]:
    """The input of the last node, if it is a weight."""
    PackWeightsPass(frozenset("qkv"))(ir.Model(made, ir_version=10))
    value = next(iter(reversed(made))).inputs[0]
    assert value is not None
    return [value.name] if value.producer() is None else []


def test_what_is_computed_of_weights_alone_is_a_weight_with_its_recipe_for_a_name() -> None:
    one, other = made_of(weight("q"), perm=[1, 0]), made_of(weight("k"), perm=[1, 0])
    assert named(graph(one, other, made_of(one.outputs[0], other.outputs[0], axis=1))) == [".T(q + k)"]
    assert named(graph(made_of(weight("q"), weight("k"), weight("v"), axis=0))) == ["q + k + v"]
    assert named(graph(made_of(weight("q"), perm=[1, 0]))) == [".T(q)"]


def test_what_no_recipe_says_is_left_in_the_graph() -> None:
    one = made_of(weight("q"), perm=[1, 0])
    assert named(graph(one, made_of(one.outputs[0], weight("k"), axis=1))) == []
    assert named(graph(made_of(weight("q"), weight("k"), axis=1))) == []
    assert named(graph(made_of(weight("tied"), perm=[1, 0]))) == []


def test_a_weight_that_something_else_takes_too_is_left_as_it_is() -> None:
    shared = weight("q")
    other = ir.node("Identity", [shared])
    assert named(graph(other, made_of(shared, perm=[1, 0]))) == []


def test_a_deep_graph_of_layers_that_are_split_takes_no_more_for_each_layer() -> None:
    value, nodes = ir.Value(name="x"), []
    for _ in range(60):  # 3^60 ways lead up through them
        split = ir.node("Split", [value], num_outputs=3)
        joined = ir.node("Sum", split.outputs)
        nodes += [split, joined]
        value = joined.outputs[0]
    assert named(graph(*nodes)) == []


def test_tied_weights_are_in_no_recipe() -> None:
    tied = torch.zeros(4)
    assert untied_names({"a": tied, "b": tied, "c": torch.zeros(4)}) == {"c"}
