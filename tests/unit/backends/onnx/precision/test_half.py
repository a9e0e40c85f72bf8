"""float16 and bfloat16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from converter.backends.onnx.precision.half import narrow, to_bfloat16, to_float16
from converter.backends.onnx.precision.ranges import measure

RNG = np.random.default_rng(2)
WEIGHT = RNG.standard_normal((64, 64)).astype(np.float32)
SCALE = np.ones(64, np.float32)


def saved(path: Path, nodes: list[onnx.NodeProto], **stored: np.ndarray) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 64])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    found: np.ndarray = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    return found


def halved(path: Path, x: np.ndarray) -> onnx.ModelProto:
    """The float16 model of a file whose ranges are those of an input."""
    model, _ = to_float16(path, measure(path, [{"x": x}]))
    return model


@pytest.fixture
def norm(tmp_path: Path) -> Path:
    """A product, and a norm by the root of the mean square in steps, as a Llama's is captured."""
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["h"], name="product"),
        helper.make_node("Pow", ["h", "two"], ["square"], name="square"),
        helper.make_node("ReduceMean", ["square", "axes"], ["mean"], name="mean", keepdims=1),
        helper.make_node("Add", ["mean", "epsilon"], ["sum"], name="sum"),
        helper.make_node("Sqrt", ["sum"], ["root"], name="root"),
        helper.make_node("Reciprocal", ["root"], ["inverse"], name="inverse"),
        helper.make_node("Mul", ["h", "inverse"], ["normed"], name="normed"),
        helper.make_node("Mul", ["scale", "normed"], ["y"], name="scaled"),
    ]
    stored = {"weight": WEIGHT, "two": np.float32(2), "axes": np.array([-1]), "epsilon": np.float32(1e-6), "scale": SCALE}
    return saved(tmp_path / "norm.onnx", nodes, **stored)


def test_a_norm_holds_what_float16_has_no_room_for(norm: Path) -> None:
    x = RNG.standard_normal((2, 64)).astype(np.float32) * 300  # its squares are millions
    expected = run(onnx.load(norm), x)
    found = run(halved(norm, x), x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_weights_are_stored_in_float16_and_inputs_and_outputs_stay_float32(norm: Path) -> None:
    model = halved(norm, RNG.standard_normal((2, 64)).astype(np.float32))
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert kinds["weight"] == kinds["scale"] == TensorProto.FLOAT16
    assert {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)} == {TensorProto.FLOAT}
    onnx.checker.check_model(model, full_check=True)


def test_the_steps_of_a_norm_are_computed_in_float32_without_a_way_through_float16(norm: Path) -> None:
    model = halved(norm, RNG.standard_normal((2, 64)).astype(np.float32))
    producers = {name: node for node in model.graph.node for name in node.output}
    for name in ("mean", "sum", "root", "inverse"):
        (node,) = (node for node in model.graph.node if node.name == name)
        before = producers[node.input[0]]
        assert before.name in ("square", "mean", "sum", "root"), f"{name} comes after {before.op_type}"


def test_the_angles_of_rotary_positions_are_computed_in_float32(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["positions"], name="positions", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["positions", "frequencies"], ["angles"], name="angles"),
        helper.make_node("Cos", ["angles"], ["cosines"], name="cosines"),
        helper.make_node("MatMul", ["cosines", "weight"], ["y"], name="product"),
    ]
    frequencies = np.linspace(1, 1e-4, 64, dtype=np.float32)
    path = saved(tmp_path / "rotary.onnx", nodes, frequencies=frequencies, weight=np.eye(64, dtype=np.float32))
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    onnx.save(model, path)
    x = np.full((1, 64), 20001)  # float16 has 20,000 and 20,016 and nothing between
    np.testing.assert_allclose(run(halved(path, x), x), run(model, x), atol=2e-3)


def test_matrices_are_stored_in_bfloat16_and_widened_by_the_runtime(norm: Path) -> None:
    model = to_bfloat16(norm)
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert kinds.pop("weight.bfloat16") == TensorProto.BFLOAT16
    assert TensorProto.BFLOAT16 not in kinds.values()  # what is small stays as it is
    x = RNG.standard_normal((2, 64)).astype(np.float32)
    np.testing.assert_allclose(run(model, x), run(onnx.load(norm), x), atol=0.05)
    exact = onnx.load(norm)
    exact.graph.initializer[0].CopyFrom(numpy_helper.from_array(rounded(WEIGHT), "weight"))
    np.testing.assert_array_equal(run(model, x), run(exact, x))


def rounded(array: np.ndarray) -> np.ndarray:
    """To the nearest bfloat16, halves to even, by its bits."""
    bits = array.view(np.uint32)
    nearest: np.ndarray = ((bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    return nearest
