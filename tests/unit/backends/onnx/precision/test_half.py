"""float16 and bfloat16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from converter.backends.onnx.precision.half import to_bfloat16, to_float16
from converter.backends.onnx.precision.ranges import measure
from tests.support.half import evaluate

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
    output: np.ndarray = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    return output


def halved(path: Path, x: np.ndarray) -> onnx.ModelProto:
    """The float16 model of a file with the ranges of an input."""
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
    output = run(halved(norm, x), x)
    assert output.dtype == np.float32
    np.testing.assert_allclose(output, expected, atol=5e-3)


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
    assert TensorProto.BFLOAT16 not in kinds.values()  # small values stay unchanged
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


# --- what float16 has no room for -------------------------------------------------------------------------------------

F32_MIN = float(np.finfo(np.float32).min)


def evaluated(model: onnx.ModelProto, folder: Path, x: np.ndarray) -> np.ndarray:
    onnx.save(model, folder / "half.onnx")
    return evaluate(folder / "half.onnx", {"x": x})["y"]


def kinds(model: onnx.ModelProto) -> dict[str, int]:
    return {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def cut(path: Path, name: str) -> onnx.ModelProto:
    """The model with one of its inner values as an output."""
    model = onnx.load(path)
    del model.graph.output[:]
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    return model


@pytest.fixture
def products(tmp_path: Path) -> Path:
    """Three products behind one another with a residual sum around the second, whose result may be large."""
    nodes = [
        helper.make_node("MatMul", ["x", "first.weight"], ["a"], name="first"),
        helper.make_node("MatMul", ["a", "layer.0.weight"], ["b"], name="second"),
        helper.make_node("Reshape", ["b", "shape"], ["moved"], name="moved"),
        helper.make_node("Add", ["a", "moved"], ["sum"], name="sum"),
        helper.make_node("LayerNormalization", ["sum", "scale"], ["normed"], name="normed"),
        helper.make_node("MatMul", ["normed", "last.weight"], ["y"], name="last"),
    ]
    stored = {"first.weight": WEIGHT, "layer.0.weight": WEIGHT, "last.weight": WEIGHT / 64, "scale": SCALE, "shape": np.array([-1, 64])}
    return saved(tmp_path / "products.onnx", nodes, **stored)


def test_what_is_within_a_quarter_of_the_limit_is_computed_in_float32_with_its_weights_and_nothing_else(
    products: Path, tmp_path: Path
) -> None:
    x = np.full((2, 64), 100, np.float32)
    x[1, ::2] = -50
    model, roles = to_float16(products, measure(products, [{"x": x * 3}]))
    assert kinds(model)["layer.0.weight"] == TensorProto.FLOAT
    assert kinds(model)["first.weight"] == kinds(model)["last.weight"] == TensorProto.FLOAT16
    expected = run(onnx.load(products), x * 3)
    assert roles == {
        "layer.*.weight": pytest.approx(65504, rel=1),
        "Add": pytest.approx(65504, rel=1),
        "scale": pytest.approx(65504, rel=1),
    }
    np.testing.assert_allclose(evaluated(model, tmp_path, x * 3), expected, atol=0.01)
    small, roles = to_float16(products, measure(products, [{"x": x / 100}]))
    assert roles == {}
    assert {*kinds(small).values()} == {TensorProto.FLOAT16, TensorProto.INT64}


def test_what_stays_in_float32_is_not_cast_to_float16_on_its_way(products: Path) -> None:
    model, _ = to_float16(products, measure(products, [{"x": np.full((1, 64), 300, np.float32)}]))
    producers = {name: node for node in model.graph.node for name in node.output}
    (total,) = (node for node in model.graph.node if node.name == "sum")
    (norm,) = (node for node in model.graph.node if node.name == "normed")
    assert producers[producers[total.input[1]].input[0]].name == "second"
    assert producers[norm.input[0]].name == "sum"


def test_the_weights_that_transformers_keeps_in_float32_are_in_float32_and_so_is_where_their_values_go(products: Path) -> None:
    ranges = measure(products, [{"x": np.ones((1, 64), np.float32)}])
    model, roles = to_float16(products, ranges, {"layer.0.weight"})
    assert kinds(model)["layer.0.weight"] == kinds(model)["scale"] == TensorProto.FLOAT
    assert kinds(model)["first.weight"] == kinds(model)["last.weight"] == TensorProto.FLOAT16
    assert [*roles] == ["layer.*.weight"]
    stored = {tensor.name: tensor.data_type for tensor in to_bfloat16(products, {"layer.0.weight"}).graph.initializer}
    assert stored["layer.0.weight"] == TensorProto.FLOAT
    assert stored["first.weight.bfloat16"] == TensorProto.BFLOAT16


def test_a_weight_that_two_nodes_take_is_stored_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["a"], name="first"),
        helper.make_node("Mul", ["a", "factor"], ["b"], name="large"),
        helper.make_node("MatMul", ["b", "weight"], ["y"], name="second"),
    ]
    path = saved(tmp_path / "shared.onnx", nodes, weight=WEIGHT, factor=np.float32(1e4))
    model, _ = to_float16(path, measure(path, [{"x": np.ones((1, 64), np.float32)}]))
    assert kinds(model) == {"weight": TensorProto.FLOAT, "factor": TensorProto.FLOAT}


def test_a_weight_beyond_float16_stays_in_float32(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "weight"], ["h"], name="large"), helper.make_node("MatMul", ["h", "other"], ["y"])]
    large = np.eye(64, dtype=np.float32) * 1e5
    path = saved(tmp_path / "weight.onnx", nodes, weight=large, other=WEIGHT)
    model = halved(path, np.zeros((1, 64), np.float32))  # no value is large, and the weight is
    assert kinds(model) == {"weight": TensorProto.FLOAT, "other": TensorProto.FLOAT16}
    np.testing.assert_array_equal(numpy_helper.to_array(model.graph.initializer[0]), large)


def attention(path: Path, scale: float, least: float = F32_MIN) -> Path:
    """Scores, masked at negative inputs, and their softmax twice: of large scores, and of small ones."""
    nodes = [
        helper.make_node("GreaterOrEqual", ["x", "zero"], ["is_kept"], name="is_kept"),
        helper.make_node("Where", ["is_kept", "zero", "least"], ["mask"], name="mask"),
        helper.make_node("Mul", ["x", "scale"], ["scores"], name="scores"),
        helper.make_node("Add", ["scores", "mask"], ["masked"], name="masked"),
        helper.make_node("Softmax", ["masked"], ["shares"], name="shares"),
        helper.make_node("Add", ["x", "mask"], ["others"], name="others"),
        helper.make_node("Softmax", ["others"], ["small"], name="small"),
        helper.make_node("Add", ["shares", "small"], ["y"], name="sum"),
    ]
    return saved(path, nodes, zero=np.float32(0), least=np.float32(least), scale=np.float32(scale))


MASKED_X = np.concatenate([RNG.uniform(0, 4, (2, 32)), -RNG.uniform(0, 4, (2, 32))], axis=1).astype(np.float32)


@pytest.mark.parametrize("scale", [1, 1e4])
@pytest.mark.parametrize("least", [F32_MIN, -1e9, -np.inf])
def test_a_softmax_leaves_out_what_is_masked(scale: float, least: float, tmp_path: Path) -> None:
    path = attention(tmp_path / "attention.onnx", scale, least)
    output = evaluated(halved(path, MASKED_X), tmp_path, MASKED_X)
    np.testing.assert_allclose(output, run(onnx.load(path), MASKED_X), atol=2e-3)
    assert (output[:, 32:] == 0).all()


@pytest.mark.parametrize("scale", [1, 10, 1e4])
def test_a_row_that_is_masked_all_over_gives_numbers(scale: float, tmp_path: Path) -> None:
    path = attention(tmp_path / "attention.onnx", scale)
    x = np.concatenate([MASKED_X, np.full((1, 64), -4, np.float32)])  # -65504 - 40 is an infinity in float16
    output = evaluated(halved(path, x), tmp_path, x)
    assert np.isfinite(output).all()
    np.testing.assert_allclose(output[:2], run(onnx.load(path), x)[:2], atol=0.02)  # float16 has a step of 1/32 at scores of 40


def test_a_mask_needs_no_float32(tmp_path: Path) -> None:
    model, roles = to_float16(path := attention(tmp_path / "attention.onnx", 1), measure(path, [{"x": MASKED_X}]))
    assert roles == {}
    assert {*kinds(model).values()} == {TensorProto.FLOAT16}


@pytest.mark.parametrize("epsilon", [1e-12, 1e-5])
def test_what_keeps_a_division_from_0_is_not_rounded_to_it(epsilon: float, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceL2", ["x", "axes"], ["length"], name="length"),
        helper.make_node("Max", ["length", "epsilon"], ["divisor"], name="divisor"),
        helper.make_node("Div", ["x", "divisor"], ["y"], name="y"),
    ]
    path = saved(tmp_path / "normalized.onnx", nodes, axes=np.array([-1]), epsilon=np.float32(epsilon))
    x = np.concatenate([np.zeros((1, 64)), np.full((1, 64), 300), np.full((1, 64), 1e-3)]).astype(np.float32)
    np.testing.assert_allclose(evaluated(halved(path, x), tmp_path, x), run(onnx.load(path), x), rtol=2e-3)


def test_a_root_behind_an_epsilon_is_not_of_0(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Abs", ["x"], ["size"], name="size"),
        helper.make_node("Add", ["size", "epsilon"], ["sum"], name="sum"),
        helper.make_node("Sqrt", ["sum"], ["root"], name="root"),
        helper.make_node("Div", ["x", "root"], ["y"], name="y"),
    ]
    path = saved(tmp_path / "root.onnx", nodes, epsilon=np.float32(1e-12))
    x = np.concatenate([np.zeros((1, 64)), np.ones((1, 64))]).astype(np.float32)
    model = halved(path, np.ones((1, 64), np.float32))  # no 0 among the measured values
    np.testing.assert_allclose(evaluated(model, tmp_path, x), run(onnx.load(path), x), rtol=2e-3)


def test_integers_that_are_computed_by_way_of_floating_point_stay_the_same(tmp_path: Path) -> None:
    """T5's buckets: a logarithm of a distance, cut off to an integer."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"], name="shape"),
        helper.make_node("Gather", ["shape", "first"], ["length"], name="length"),
        helper.make_node("Range", ["one", "length", "one"], ["distances"], name="distances"),
        helper.make_node("Cast", ["distances"], ["wide"], name="wide", to=TensorProto.FLOAT),
        helper.make_node("Log", ["wide"], ["logarithm"], name="logarithm"),
        helper.make_node("Mul", ["logarithm", "scale"], ["scaled"], name="scaled"),
        helper.make_node("Cast", ["scaled"], ["buckets"], name="buckets", to=TensorProto.INT64),
        helper.make_node("Cast", ["buckets"], ["y"], name="y", to=TensorProto.FLOAT),
    ]
    scale = np.float32(16 / np.log(16))
    path = saved(tmp_path / "buckets.onnx", nodes, first=np.array(0), one=np.array(1), scale=scale)
    x = np.zeros((300, 64), np.float32)
    np.testing.assert_array_equal(evaluated(halved(path, x), tmp_path, x), run(onnx.load(path), x))


def test_a_graph_inside_a_node_stays_in_float32_and_is_fed_so(tmp_path: Path) -> None:
    inner = [
        helper.make_graph(
            [helper.make_node("Mul", ["h", "h"] if name == "then" else ["h", "factor"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for name in ("then", "otherwise")
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["h"], name="product"),
        helper.make_node("If", ["is_so"], ["squared"], name="if", then_branch=inner[0], else_branch=inner[1]),
        helper.make_node("MatMul", ["squared", "weight"], ["y"], name="last"),
    ]
    path = saved(tmp_path / "if.onnx", nodes, weight=WEIGHT / 64, is_so=np.array(True), factor=np.float32(2))
    x = RNG.standard_normal((2, 64)).astype(np.float32)
    np.testing.assert_allclose(run(halved(path, x), x), run(onnx.load(path), x), atol=1e-3)
