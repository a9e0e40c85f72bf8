"""float16 files on a CPU, every value rounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converter.backends.onnx.session import OnnxSession
from tests.support.half import evaluate

RNG = np.random.default_rng(5)


def saved(path: Path, nodes: list[onnx.NodeProto], outside: int, **stored: np.ndarray) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", outside, ["n", 64])],
        [helper.make_tensor_value_info("y", outside, ["n", 64])],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


HALVES = {"weight": (RNG.standard_normal((64, 64)) / 8).astype(np.float16), "small": np.array(1e-3, np.float16)}
MIDDLE = [
    helper.make_node("MatMul", ["h", "weight"], ["product"]),
    helper.make_node("Mul", ["product", "product"], ["square"]),
    helper.make_node("Mul", ["square", "small"], ["z"]),
]
TO_HALF = helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16)
TO_FLOAT = helper.make_node("Cast", ["z"], ["y"], to=TensorProto.FLOAT)


@pytest.mark.parametrize("factor", [1, 300])
def test_the_reference_evaluator_gives_the_same_with_and_without_an_overflow(factor: float, tmp_path: Path) -> None:
    path = saved(tmp_path / "model.onnx", [TO_HALF, *MIDDLE, TO_FLOAT], TensorProto.FLOAT, **HALVES)
    x = (RNG.standard_normal((3, 64)) * factor).astype(np.float32)
    output = OnnxSession(path, rounded=True).run({"x": x})["y"]
    expected = evaluate(path, {"x": x})["y"]
    np.testing.assert_array_equal(np.isinf(output), np.isinf(expected))
    assert np.isinf(output).any() == (factor > 1)
    np.testing.assert_allclose(output, expected, rtol=0.01, atol=1e-6)  # onnx adds up products in float16


def test_the_runtime_alone_does_not_see_the_overflow_which_is_why_values_are_rounded(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.onnx", [TO_HALF, *MIDDLE, TO_FLOAT], TensorProto.FLOAT, **HALVES)
    x = (RNG.standard_normal((3, 64)) * 300).astype(np.float32)
    assert np.isfinite(OnnxSession(path).run({"x": x})["y"]).all()


def test_a_file_that_takes_and_gives_float16_is_rounded_too(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["h"]), *MIDDLE, helper.make_node("Identity", ["z"], ["y"])]
    path = saved(tmp_path / "model.onnx", nodes, TensorProto.FLOAT16, **HALVES)
    output = OnnxSession(path, rounded=True).run({"x": np.full((1, 64), 900, np.float16)})["y"]
    assert output.dtype == np.float16
    assert np.isinf(output).any()


def test_operators_of_the_runtime_are_rounded_too(tmp_path: Path) -> None:
    nodes = [TO_HALF, helper.make_node("BiasGelu", ["h", "bias"], ["z"], domain="com.microsoft"), TO_FLOAT]
    path = saved(tmp_path / "model.onnx", nodes, TensorProto.FLOAT, bias=np.full(64, 6e4, np.float16))
    x = np.full((1, 64), 6e4, np.float32)
    assert np.isinf(OnnxSession(path, rounded=True).run({"x": x})["y"]).all()
