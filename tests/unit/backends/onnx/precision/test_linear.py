"""The file that quantizers start from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from converter.backends.onnx.precision.linear import Layer, prepare

RNG = np.random.default_rng(1)
A, B = (RNG.standard_normal(shape).astype(np.float32) for shape in ((24, 16), (16, 24)))
BIAS = RNG.standard_normal(24).astype(np.float32)
X = RNG.standard_normal((3, 16)).astype(np.float32)


def saved(path: Path, nodes: list[onnx.NodeProto], **stored: np.ndarray) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", None])],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)], ir_version=9), path
    )
    return path


def run(path: Path) -> np.ndarray:
    output: np.ndarray = onnxruntime.InferenceSession(str(path)).run(None, {"x": X})[0]
    return output


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Gemm", ["x", "layer.3.a", "bias"], ["y"], transB=1)],
        [helper.make_node("Gemm", ["x", "layer.3.a"], ["y"], transB=1)],
        [helper.make_node("Gemm", ["x", "layer.3.b", "bias"], ["y"])],
        [helper.make_node("Transpose", ["layer.3.a"], ["t"], perm=[1, 0]), helper.make_node("MatMul", ["x", "t"], ["y"])],
        [helper.make_node("Transpose", ["layer.3.a"], ["t"]), helper.make_node("Gemm", ["x", "t", "bias"], ["y"])],
        [helper.make_node("Transpose", ["layer.3.b"], ["t"]), helper.make_node("Gemm", ["x", "t", "bias"], ["y"], transB=1)],
        [helper.make_node("MatMul", ["x", "layer.3.b"], ["y"])],
        [helper.make_node("FusedMatMul", ["x", "layer.3.a"], ["y"], domain="com.microsoft", transB=1, alpha=1.0)],
    ],
    ids=["gemm turned", "no bias", "gemm", "behind a transpose", "gemm behind a transpose", "turned twice", "as it is", "fused"],
)
def test_every_product_with_weights_becomes_a_matmul_that_gives_the_same(nodes: list[onnx.NodeProto], tmp_path: Path) -> None:
    source = saved(tmp_path / "source.onnx", nodes, **{"layer.3.a": A, "layer.3.b": B, "bias": BIAS})
    (layer,) = prepare(source, tmp_path / "target.onnx")
    np.testing.assert_allclose(run(tmp_path / "target.onnx"), run(source), atol=1e-5)
    model = onnx.load(tmp_path / "target.onnx")
    (product,) = (node for node in model.graph.node if node.op_type == "MatMul")
    assert layer == Layer("source.onnx", product.name, product.input[1], 24 * 16, is_embedding=False)
    assert {node.op_type for node in model.graph.node} <= {"MatMul", "Add"}
    stored = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    assert stored.pop(layer.weight) == (16, 24)
    assert stored.keys() <= {"bias"}  # and nothing that is not used
    assert layer.role in ("layer.*.a", "layer.*.b")


def test_a_product_that_is_scaled_stays_what_it_is(tmp_path: Path) -> None:
    source = saved(tmp_path / "source.onnx", [helper.make_node("Gemm", ["x", "b", "bias"], ["y"], alpha=2.0)], b=B, bias=BIAS)
    assert prepare(source, tmp_path / "target.onnx") == ()
    np.testing.assert_array_equal(run(tmp_path / "target.onnx"), run(source))


def test_a_table_that_is_a_matrix_too_is_stored_in_both_ways(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["table", "shape"], ["rows"]),
        helper.make_node("MatMul", ["rows", "turned"], ["z"]),
        helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
    ]
    nodes = [nodes[0], nodes[1], nodes[3], nodes[2], nodes[4]]
    source = saved(tmp_path / "source.onnx", nodes, table=A)
    layers = prepare(source, tmp_path / "target.onnx")
    assert [(layer.weight, layer.is_embedding) for layer in layers] == [
        ("table", True),
        ("table.transposed", False),
        ("table.transposed", False),
    ]
    assert [layer.role for layer in layers] == ["table as embedding", "table", "table"]
    np.testing.assert_allclose(run(tmp_path / "target.onnx"), run(source), atol=1e-6)


def test_matrices_that_are_small_and_tables_that_are_a_small_part_are_left_alone(tmp_path: Path) -> None:
    small = RNG.standard_normal((16, 8)).astype(np.float32)
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["positions", "shape"], ["rows"]),
        helper.make_node("MatMul", ["x", "small"], ["y"]),
    ]
    source = saved(
        tmp_path / "source.onnx", nodes, small=small, positions=np.ones((20, 2), np.float32), other=np.ones((64, 64), np.float32)
    )
    assert prepare(source, tmp_path / "target.onnx") == ()


def test_what_only_a_graph_inside_a_node_takes_is_kept(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        node = helper.make_node("MatMul", ["x", name], [f"{name}.product"])
        return helper.make_graph([node], name, [], [helper.make_tensor_value_info(f"{name}.product", TensorProto.FLOAT, None)])

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=branch("first"), else_branch=branch("second")),
    ]
    source = saved(tmp_path / "source.onnx", nodes, first=B, second=2 * B, zero=np.array(0, np.float32))
    assert prepare(source, tmp_path / "target.onnx") == ()
    np.testing.assert_array_equal(run(tmp_path / "target.onnx"), run(source))
