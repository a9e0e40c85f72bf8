"""A node for which the runtime has no kernel is computed in a wider type, with the values of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as native

from converter.backends.onnx.passes.runtime_types import RuntimeTypesPass


def model(nodes: Sequence[onnx.NodeProto], inputs: dict[str, int], output: int, inner: dict[str, int]) -> onnx.ModelProto:
    """A graph whose inputs and output have one axis, with the types of the values inside."""
    values = {name: helper.make_tensor_value_info(name, kind, ["length"]) for name, kind in (inputs | inner | {"y": output}).items()}
    graph = helper.make_graph(nodes, "types", [values[name] for name in inputs], [values["y"]], value_info=[values[name] for name in inner])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def passed(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
    graph = ir.from_proto(proto)
    result = RuntimeTypesPass()(graph)
    made = ir.to_proto(result.model)
    onnx.checker.check_model(made, full_check=True)
    return made, result.modified


def run(proto: onnx.ModelProto, **inputs: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
    (result,) = session.run(None, inputs)
    return np.asarray(result)


def products() -> onnx.ModelProto:
    """y = a * b * a in bfloat16, as Falcon computes ALiBi."""
    kind = TensorProto.BFLOAT16
    nodes = [
        helper.make_node("Cast", ["a"], ["narrow_a"], to=kind),
        helper.make_node("Cast", ["b"], ["narrow_b"], to=kind),
        helper.make_node("Mul", ["narrow_a", "narrow_b"], ["product"]),
        helper.make_node("Mul", ["product", "narrow_a"], ["again"]),
        helper.make_node("Cast", ["again"], ["y"], to=TensorProto.FLOAT),
    ]
    inner = dict.fromkeys(("narrow_a", "narrow_b", "product", "again"), kind)
    return model(nodes, {"a": TensorProto.FLOAT, "b": TensorProto.FLOAT}, TensorProto.FLOAT, inner)


def choice() -> onnx.ModelProto:
    """y = where(c, a, b) of booleans, as masks are combined."""
    kind = TensorProto.BOOL
    return model([helper.make_node("Where", ["c", "a", "b"], ["y"])], dict.fromkeys("abc", kind), kind, {})


@pytest.mark.parametrize("proto", [products(), choice()], ids=["bfloat16", "bool"])
def test_the_runtime_has_no_kernel_for_these_yet(proto: onnx.ModelProto) -> None:
    with pytest.raises(Exception, match="NOT_IMPLEMENTED"):
        run(proto, **dict.fromkeys("abc", np.zeros(1, np.float32)))


def test_products_in_bfloat16_are_rounded_as_pytorch_rounds_them() -> None:
    made, modified = passed(products())
    a, b = np.random.default_rng(0).standard_normal((2, 1000)).astype(np.float32)
    narrow_a, narrow_b = (torch.from_numpy(array).bfloat16() for array in (a, b))
    assert modified
    np.testing.assert_array_equal(run(made, a=a, b=b), (narrow_a * narrow_b * narrow_a).float().numpy())


def test_a_choice_of_booleans_gives_booleans() -> None:
    made, modified = passed(choice())
    a, b, c = np.random.default_rng(0).random((3, 100)) < 0.5
    result = run(made, a=a, b=b, c=c)
    assert modified and result.dtype == np.bool_
    np.testing.assert_array_equal(result, np.where(c, a, b))


def test_small_integers_keep_their_values_and_type() -> None:
    kind = TensorProto.INT16
    proto = model([helper.make_node("Add", ["a", "b"], ["y"])], dict.fromkeys("ab", TensorProto.INT8), TensorProto.INT8, {})
    made, _ = passed(proto)
    a, b = np.random.default_rng(0).integers(-60, 60, (2, 100)).astype(np.int8)
    np.testing.assert_array_equal(run(made, a=a, b=b), a + b)
    proto = model([helper.make_node("Where", ["c", "a", "b"], ["y"])], {"a": kind, "b": kind, "c": TensorProto.BOOL}, kind, {})
    made, modified = passed(proto)
    wide = np.array([-32768, 0, 32767], np.int16)
    assert modified
    np.testing.assert_array_equal(run(made, a=wide, b=wide[::-1].copy(), c=np.array([True, False, True])), [-32768, 0, 32767])


def test_a_graph_that_the_runtime_can_run_is_left_alone() -> None:
    kind = TensorProto.FLOAT
    nodes = [helper.make_node("Where", ["c", "a", "b"], ["chosen"]), helper.make_node("Mul", ["chosen", "a"], ["y"])]
    proto = model(nodes, {"a": kind, "b": kind, "c": TensorProto.BOOL}, kind, {"chosen": kind})
    _, modified = passed(proto)
    assert not modified


def test_the_table_of_kernels_that_the_pass_relies_on_is_there() -> None:
    kernels = [kernel for kernel in native.get_all_opkernel_def() if kernel.op_name == "Mul" and kernel.provider == "CPUExecutionProvider"]
    assert {"tensor(float)"} in [set(kernel.type_constraints["T"]) for kernel in kernels]
    assert all(len(kernel.version_range) == 2 and kernel.domain == "" for kernel in kernels)
