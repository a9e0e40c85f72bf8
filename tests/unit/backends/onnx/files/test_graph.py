"""A graph names its weights, some of them packed, and survives a round trip."""

from __future__ import annotations

import json

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from converter.backends.onnx.files.graph import Graph
from converter.backends.onnx.passes.fusion import NOTHING
from converter.checkpoints.loading import LoadedModel


def graph(*weights: str, fused: str = "") -> Graph:
    node = helper.make_node("Sum", [*weights], ["y"])
    made = helper.make_graph([node], "graph", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])])
    return Graph(helper.make_model(made), weights, fused)


@pytest.mark.parametrize("fused", [NOTHING, "fused for cuda: 1 Attention, 12 SkipLayerNormalization"])
def test_a_fused_graph_is_read_back_with_its_recipes_and_what_was_fused(fused: str) -> None:
    kept = graph("a", "b + c", ".T(d)", fused=fused)
    read = Graph.from_bytes(kept.to_bytes())
    assert (read.weights, read.fused) == (kept.weights, kept.fused)
    assert read.sources == {"a", "b", "c", "d"}
    assert not read.model.metadata_props


@pytest.mark.parametrize("weights", [["a + "], [".T(a"], [""], [1], "a", {"a": 1}, None, [["a"]]])
def test_a_graph_whose_weights_are_no_recipes_is_refused(weights: object) -> None:
    message = onnx.ModelProto()
    message.ParseFromString(graph("a").to_bytes())
    (entry,) = message.metadata_props
    entry.value = json.dumps(weights)
    with pytest.raises(ValueError, match=r"not a captured graph|is not a recipe of weights"):
        Graph.from_bytes(message.SerializeToString())


@pytest.mark.parametrize("fused", ["::error::it", "fused for cpu: two\nlines", f"fused for cpu: {'x' * 1001}", "fused for cpu: \u202e"])
def test_what_was_fused_is_shown_and_so_is_refused_where_it_is_no_clause(fused: str) -> None:
    with pytest.raises(ValueError, match="not a captured graph"):
        Graph.from_bytes(graph("a", fused=fused).to_bytes())


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.scale = (torch.nn.Parameter(torch.zeros(shape)) for shape in ((2, 3), (4, 3), ()))
        self.c = torch.nn.Parameter(torch.zeros(2, 4))


@pytest.mark.parametrize(
    ("weights", "fits"),
    [
        (("a", "a + b", ".T(a + b)", "scale"), True),
        (("a + c",), False),
        (("a + scale",), False),
        (("a", "no.such"), False),
        (("a + no.such",), False),
    ],
)
def test_a_graph_whose_recipes_the_model_cannot_make_does_not_fit_it(weights: tuple[str, ...], fits: bool) -> None:
    model = LoadedModel(Model())
    assert graph(*weights).fits(model) is fits
    if fits:
        assert graph(*weights).bind(model)["a + b"].shape == (6, 3)
