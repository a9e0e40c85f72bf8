"""A reshape accepts an empty tensor once 0 is a length and nothing is inferred."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from converter.backends.onnx.passes.empty_reshape import AllowEmptyReshapePass


def model(target: Sequence[int | str], annotation: Sequence[int | str]) -> onnx.ModelProto:
    """x (rows, 4, 2) reshaped to `target`, in which `rows` is computed; `annotation` is the shape that the graph says it comes to."""
    nodes = []
    if all(isinstance(length, int) for length in target):
        nodes.append(onnx.helper.make_node("Constant", [], ["shape"], value_ints=list(target)))
    else:
        nodes.append(onnx.helper.make_node("Shape", ["x"], ["rows"], start=0, end=1))
        parts = []
        for place, length in enumerate(target):
            parts.append(f"part{place}" if isinstance(length, int) else "rows")
            if isinstance(length, int):
                nodes.append(onnx.helper.make_node("Constant", [], [f"part{place}"], value_ints=[length]))
        nodes.append(onnx.helper.make_node("Concat", parts, ["shape"], axis=0))
    nodes.append(onnx.helper.make_node("Reshape", ["x", "shape"], ["y"]))
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", ["rows", 4, 2]), ("y", annotation))
    )
    graph = onnx.helper.make_graph(nodes, "reshape", [x], [y])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)


def run(proto: onnx.ModelProto, rows: int) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"x": np.arange(rows * 8, dtype=np.float32).reshape(rows, 4, 2)})
    return output


def allowed(proto: onnx.ModelProto) -> onnx.ModelProto:
    read = ir.from_proto(proto)
    AllowEmptyReshapePass()(read)
    return ir.to_proto(read)


@pytest.mark.parametrize(
    ("target", "annotation", "shape"),
    [
        ([0, -1], ["rows", 8], lambda rows: (rows, 8)),
        (["rows", -1], ["rows", 8], lambda rows: (rows, 8)),
        (["rows", 2, -1], ["rows", 2, 4], lambda rows: (rows, 2, 4)),
        (["rows", 8], ["rows", 8], lambda rows: (rows, 8)),
        ([-1, 8], ["rows", 8], lambda rows: (rows, 8)),
    ],
)
def test_nothing_is_reshaped_as_anything_else_is(target: Sequence[int | str], annotation: Sequence[int | str], shape: object) -> None:
    assert callable(shape)
    before, after = model(target, annotation), allowed(model(target, annotation))
    assert np.array_equal(run(before, 3), run(after, 3))
    assert run(after, 3).shape == shape(3)
    assert run(after, 0).shape == shape(0)


def test_without_it_a_length_of_0_is_the_inputs() -> None:
    with pytest.raises(Exception, match="cannot be reshaped"):
        run(model(["rows", -1], ["rows", 8]), 0)
