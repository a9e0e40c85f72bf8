"""Products with weights in integers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from converter.backends.onnx.precision import PRECISIONS, Method
from converter.backends.onnx.precision.linear import Layer, prepare
from converter.backends.onnx.precision.quantizers import FloatModel, quantize, remaining

RNG = np.random.default_rng(3)
TABLE, FIRST, SECOND = (RNG.standard_normal(shape).astype(np.float32) / 8 for shape in ((50, 64), (64, 64), (64, 64)))
TABLE[7] = 0  # a row of padding is zeros
IDS = RNG.integers(0, 50, (2, 9))


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[Path, tuple[Layer, ...]]:
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["rows"], name="rows"),
        helper.make_node("MatMul", ["rows", "first"], ["h"], name="first"),
        helper.make_node("Softmax", ["h"], ["s"], name="softmax"),
        helper.make_node("MatMul", ["s", "second"], ["y"], name="second"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "sequence", 64])],
        [numpy_helper.from_array(array, name) for name, array in (("words", TABLE), ("first", FIRST), ("second", SECOND))],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "source.onnx")
    layers = prepare(tmp_path / "source.onnx", tmp_path / "prepared.onnx")
    assert [layer.weight for layer in layers] == ["words", "first", "second"]
    return tmp_path / "prepared.onnx", layers


def run(path: Path) -> np.ndarray:
    output: np.ndarray = onnxruntime.InferenceSession(str(path)).run(None, {"ids": IDS})[0]
    return output


def by_definition(path: Path) -> np.ndarray:
    output: np.ndarray = ReferenceEvaluator(str(path)).run(["y"], {"ids": IDS})[0]
    return output


def made(prepared: tuple[Path, Sequence[Layer]], method: Method, *left: str, bits: int = 8, fallback_bits: int = 32) -> Path:
    source, layers = prepared
    target = source.with_name("target.onnx")
    chosen = [layer for layer in layers if layer.weight not in left]
    precision = replace(PRECISIONS["w8"], method=method, bits=bits, fallback_bits=fallback_bits)
    quantize(FloatModel(source, layers), target, precision, chosen, [{"ids": IDS}])
    return target


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def kinds(path: Path) -> dict[str, int]:
    return {tensor.name: tensor.data_type for tensor in onnx.load(path).graph.initializer}


@pytest.mark.parametrize(
    ("method", "bits", "operator", "count", "error"),
    [
        ("dynamic", 8, "MatMulInteger", 2, 0.1),
        ("static", 8, "MatMul", 2, 0.1),
        ("weights", 8, "MatMulNBits", 2, 0.02),
        ("weights", 4, "MatMulNBits", 2, 0.25),
    ],
)
def test_every_layer_that_is_chosen_is_quantized_and_about_the_same_comes_out(
    prepared: tuple[Path, tuple[Layer, ...]], method: Method, bits: int, operator: str, count: int, error: float
) -> None:
    target = made(prepared, method, bits=bits)
    assert operators(target).count(operator) == count
    assert list(remaining(onnx.load(target), prepared[1])) == []
    expected = run(prepared[0])
    # by the definition of the operators, as a processor without VNNI saturates in products of 8-bit integers
    output = by_definition(target) if method == "dynamic" else run(target)
    assert 0 < np.abs(output - expected).max() < error * np.abs(expected).max()


@pytest.mark.parametrize("method", ["dynamic", "static"])
def test_weights_have_a_scale_for_each_channel(prepared: tuple[Path, tuple[Layer, ...]], method: Method) -> None:
    model = onnx.load(made(prepared, method))
    scales = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer if tensor.name in ("first_scale", "second_scale")}
    assert scales == {"first_scale": (64,), "second_scale": (64,)}


@pytest.mark.parametrize("method", ["dynamic", "static", "weights"])
def test_what_is_left_out_keeps_its_weights(prepared: tuple[Path, tuple[Layer, ...]], method: Method) -> None:
    target = made(prepared, method, "first", "words")
    assert kinds(target)["first"] == kinds(target)["words"] == TensorProto.FLOAT
    assert "second" not in kinds(target)
    assert list(remaining(onnx.load(target), prepared[1])) == ["rows", "first"]


@pytest.mark.parametrize(("method", "bits"), [("dynamic", 8), ("static", 8), ("weights", 4)])
def test_what_is_left_out_may_have_8_bits_in_blocks(prepared: tuple[Path, tuple[Layer, ...]], method: Method, bits: int) -> None:
    model = onnx.load(made(prepared, method, "first", bits=bits, fallback_bits=8))
    (spared,) = (node for node in model.graph.node if node.op_type == "MatMulNBits" and node.name.startswith("first"))
    assert {attribute.name: attribute.i for attribute in spared.attribute}["bits"] == 8
    assert "first" not in {tensor.name for tensor in model.graph.initializer}


def test_an_embedding_has_int8_rows_and_operators_that_every_runtime_has(prepared: tuple[Path, tuple[Layer, ...]]) -> None:
    target = made(prepared, "weights", "first", "second")
    assert set(operators(target)) == {"Gather", "Cast", "Mul", "MatMul", "Softmax"}
    assert kinds(target)["words.int8"] == TensorProto.INT8
    assert "words" not in kinds(target)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(target).graph.initializer}
    assert stored["words.scales"].shape == (50, 1)
    np.testing.assert_allclose(stored["words.int8"] * stored["words.scales"], TABLE, atol=np.abs(TABLE).max() / 250)
    assert (stored["words.int8"][7] == 0).all()


def test_nothing_is_logged_and_logging_stays_as_it_is(prepared: tuple[Path, tuple[Layer, ...]], capfd: pytest.CaptureFixture[Any]) -> None:
    root = logging.getLogger()
    before = ([*root.handlers], root.level, root.manager.disable)
    for method in ("dynamic", "static", "weights"):
        made(prepared, method)  # type: ignore[arg-type]  # each is a Method
    assert ([*root.handlers], root.level, root.manager.disable) == before
    assert capfd.readouterr().err == ""


def test_a_quantizer_that_did_nothing_is_found_out(prepared: tuple[Path, tuple[Layer, ...]]) -> None:
    assert list(remaining(onnx.load(prepared[0]), prepared[1])) == ["rows", "first", "second"]
