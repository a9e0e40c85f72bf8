"""How large the values of a graph are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converter.backends.onnx.precision.ranges import Ranges, measure

F32_MIN = float(np.finfo(np.float32).min)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product whose result is masked and divided, and a slice of it that is empty."""
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["h"]),
        helper.make_node("Where", ["kept", "h", "least"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["shares"]),
        helper.make_node("Constant", [], ["two"], value=numpy_helper.from_array(np.array(2, np.float32))),
        helper.make_node("Mul", ["x", "two"], ["doubled"]),
        helper.make_node("Div", ["shares", "doubled"], ["y"]),
        helper.make_node("Slice", ["h", "start", "start"], ["empty"]),
        helper.make_node("Shape", ["empty"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["double"], to=TensorProto.DOUBLE),
    ]
    stored = {
        "weight": np.array([[3, 0], [0, -5]], np.float32),
        "least": np.array(F32_MIN, np.float32),
        "start": np.array([0]),
    }
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("kept", TensorProto.BOOL, ["n", 2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2]), helper.make_tensor_value_info("double", TensorProto.DOUBLE, [2])],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    path = tmp_path_factory.mktemp("ranges") / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def ranges(file: Path) -> Ranges:
    kept = np.array([[True, False]])
    feeds = [{"x": np.array([row], np.float32), "kept": kept} for row in ((7, -0.25), (-2, 11))]
    return measure(file, feeds)


def test_the_largest_magnitude_of_all_calls_is_found_of_inputs_weights_constants_and_what_nodes_give(ranges: Ranges) -> None:
    expected = {"x": 11, "weight": 5, "two": 2, "h": 55, "masked": 21, "shares": 1, "doubled": 22, "y": 0.25, "empty": 0, "least": 0}
    assert ranges.largest == expected


def test_what_a_mask_holds_is_no_quantity(ranges: Ranges) -> None:
    assert ranges.marked == {"least", "masked"}


def test_the_smallest_of_what_is_divided_by_and_of_single_constants_is_found(ranges: Ranges) -> None:
    assert ranges.smallest == {"doubled": 0.5, "two": 2}


@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize("scale", [None, 0.5])
def test_scores_inside_of_an_attention_are_no_larger_than_what_is_found(is_packed: bool, scale: float | None, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x, weight = rng.standard_normal((2, 5, 8)).astype(np.float32), rng.standard_normal((8, 24)).astype(np.float32) * 30
    states = [x @ part for part in np.split(weight, 3, axis=1)]
    inputs = {"x": x} if is_packed else dict(zip("qkv", states, strict=True))
    names = ["x", "weight", ""] if is_packed else [*"qkv"]
    attributes = {"num_heads": 2, **({"scale": scale} if scale else {})}
    nodes = [
        helper.make_node("Attention" if is_packed else "MultiHeadAttention", names, ["y"], domain="com.microsoft", **attributes),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "weight")] if is_packed else [],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "model.onnx")
    queries, keys = (state.reshape(2, 5, 2, 4).transpose(0, 2, 1, 3) for state in states[:2])
    scores = np.abs(queries @ keys.transpose(0, 1, 3, 2)).max() * (scale or 1 / 2)
    bound = measure(tmp_path / "model.onnx", [inputs]).largest["y.scores"]
    assert scores <= bound * 1.0001
    assert bound < 10 * scores
