"""The ONNX file on disk: onnx reads the written file, and our reader reads it back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from converter.backends.onnx.files import model_file
from converter.backends.onnx.files.graph import Graph
from converter.core.errors import ConversionError, OutputError

DTYPES = {
    torch.float32: TensorProto.FLOAT,
    torch.float16: TensorProto.FLOAT16,
    torch.bfloat16: TensorProto.BFLOAT16,
    torch.int64: TensorProto.INT64,
    torch.bool: TensorProto.BOOL,
}
WEIGHTS = {
    "large": torch.arange(1200, dtype=torch.float32).reshape(30, 40),
    "half": torch.arange(1200, dtype=torch.float16),
    "brain": torch.arange(1200).to(torch.bfloat16).reshape(2, 600),
    "strided": torch.arange(1200, dtype=torch.float32).reshape(30, 40).t(),
    "numbers": torch.arange(300),
    "truths": torch.arange(2000) % 3 == 0,
    "small": torch.tensor([1.5, -2.5]),
    "scalar": torch.tensor(7.0),
    "nothing": torch.zeros(0, 3),
}


def graph_over(weights: dict[str, torch.Tensor]) -> Graph:
    """A graph whose outputs are `weights`, which it only names; it has one constant."""
    nodes = [helper.make_node("Identity", [name], [f"{name}.out"], name=name) for name in weights]
    outputs = [helper.make_tensor_value_info(f"{name}.out", DTYPES[tensor.dtype], tensor.shape) for name, tensor in weights.items()]
    constant = helper.make_tensor("constant", TensorProto.FLOAT, [2], [3.0, 4.0])
    graph = helper.make_graph(nodes, "graph", [], outputs, [constant])
    return Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tuple(weights))


def stored_bytes(tensor: onnx.TensorProto) -> tuple[list[int], int, bytes]:
    return list(tensor.dims), tensor.data_type, tensor.raw_data


def expected_bytes(tensor: torch.Tensor) -> tuple[list[int], int, bytes]:
    return list(tensor.shape), DTYPES[tensor.dtype], tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@pytest.fixture(params=[2**31, 10], ids=["one file", "two files"])
def written(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "model.onnx"
    model_file.write(graph_over(WEIGHTS), WEIGHTS, path, single_file_limit=request.param)
    return path


def test_onnx_finds_nothing_wrong_with_the_file(written: Path) -> None:
    onnx.checker.check_model(str(written), full_check=True)


def test_onnx_reads_every_weight_as_it_was_and_the_graph_with_its_constants(written: Path) -> None:
    model = onnx.load(written)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    assert set(tensors) == {*WEIGHTS, "constant"}
    for name, tensor in WEIGHTS.items():
        assert stored_bytes(tensors[name]) == expected_bytes(tensor), name
    assert onnx.numpy_helper.to_array(tensors["constant"]).tolist() == [3.0, 4.0]
    assert [node.input[0] for node in model.graph.node] == list(WEIGHTS)
    assert (model.ir_version, model.opset_import[0].version) == (10, 18)


def test_every_weight_is_read_back_under_its_name_the_large_ones_mapped(written: Path) -> None:
    read = dict(model_file.read(written).weights())
    assert set(read) == {*WEIGHTS, "constant"}
    assert {name for name, array in read.items() if isinstance(array, np.memmap)} >= {
        name for name, tensor in WEIGHTS.items() if tensor.nbytes > 1024
    }
    for name in WEIGHTS:
        array = read[name]
        assert str(array.dtype) == str(WEIGHTS[name].dtype).removeprefix("torch.")
        assert (list(array.shape), array.tobytes()) == (expected_bytes(WEIGHTS[name])[0], expected_bytes(WEIGHTS[name])[2]), name


def test_the_skeleton_holds_no_large_weight_and_its_references_lead_to_the_bytes(written: Path, tmp_path: Path) -> None:
    stored = model_file.read(written)
    referring = stored.with_external_weights()
    assert len(referring) < 4096
    (written.with_name("referring.onnx")).write_bytes(referring)
    tensors = {tensor.name: tensor for tensor in onnx.load(written.with_name("referring.onnx")).graph.initializer}
    for name, tensor in WEIGHTS.items():
        assert stored_bytes(tensors[name]) == expected_bytes(tensor), name


def test_one_file_is_written_where_it_can_hold_them_and_two_where_not(tmp_path: Path) -> None:
    graph = graph_over(WEIGHTS)
    size = sum(tensor.nbytes for tensor in WEIGHTS.values())
    for limit, files in ((2**31, ["model.onnx"]), (size, ["model.onnx", "model.onnx_data"])):
        folder = tmp_path / str(limit)
        folder.mkdir()
        model_file.write(graph, WEIGHTS, folder / "model.onnx", limit)
        assert sorted(path.name for path in folder.iterdir()) == files
    assert (tmp_path / str(size) / "model.onnx").stat().st_size < 4096


def test_a_graph_without_weights_is_a_file_too(tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch"]) for name in "xy")
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "graph", [x], [y]))
    model_file.write(Graph(model, ()), {}, tmp_path / "model.onnx")
    assert model_file.read(tmp_path / "model.onnx").tensors == ()
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)


def test_what_another_exporter_wrote_is_read_the_same(tmp_path: Path) -> None:
    weight = np.arange(600, dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])],
        "graph",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [600])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph), tmp_path / "one.onnx")
    onnx.save(helper.make_model(graph), tmp_path / "two.onnx", save_as_external_data=True, location="two.data")
    for name in ("one.onnx", "two.onnx"):
        ((read, array),) = model_file.read(tmp_path / name).weights()
        assert (read, array.tolist()) == ("w", weight.tolist())


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    for limit in (2**31, 10):
        with pytest.raises(OutputError):
            model_file.write(graph_over(WEIGHTS), WEIGHTS, tmp_path / "nothing" / "model.onnx", limit)


# --- other files ------------------------------------------------------------------------------------------------------


def field(number: int, content: bytes) -> bytes:
    """A protobuf field that holds bytes."""
    length, encoded = len(content), bytearray()
    while length > 0x7F:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([number << 3 | 2, *encoded, length]) + content


def model_with(tensor: bytes) -> bytes:
    """A model with a node and an initializer of these bytes."""
    return field(7, field(1, field(4, b"Relu")) + field(5, tensor))


RAW = field(9, b"\0" * 2000)
EXTERNAL = b"\x70\x01" + field(12, b"d" * 2000)


def entry(key: bytes, value: bytes) -> bytes:
    return field(13, field(1, key) + field(2, value))


def test_the_models_that_follow_are_wrong_in_their_tensor_alone(tmp_path: Path) -> None:
    for number, tensor in enumerate((RAW, EXTERNAL + entry(b"location", b"f") + entry(b"length", b"8"))):
        (tmp_path / str(number)).write_bytes(model_with(field(8, b"w") + tensor))
        assert [stored.header.name for stored in model_file.read(tmp_path / str(number)).tensors] == ["w"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\xff" * 100,
        b"not an ONNX file",
        field(7, b""),
        model_with(RAW)[:-1],
        model_with(RAW)[:100],
        model_with(field(13, b"\xff" * 20) + RAW),
        model_with(field(1, b"\xff") + RAW),
        model_with(b"\x02\x01a" + RAW),
        model_with(field(4, b"\0" * 2000)),
        model_with(EXTERNAL),
        model_with(EXTERNAL + entry(b"location", b"f")),
        model_with(EXTERNAL + entry(b"location", b"f") + entry(b"length", b"many")),
        model_with(EXTERNAL + entry(b"location", b"../f") + entry(b"length", b"8")),
        model_with(EXTERNAL + entry(b"location", b"/etc/passwd") + entry(b"length", b"8")),
    ],
)
def test_what_is_no_onnx_file_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(data)
    with pytest.raises(ConversionError, match=r"model\.onnx is not an ONNX file: ."):
        model_file.read(tmp_path / "model.onnx")


def test_no_file_and_a_folder_are_told(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(ConversionError, match="is not an ONNX file"):
            model_file.read(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "model.onnx"
    model_file.write(graph_over(WEIGHTS), WEIGHTS, path)
    return path


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_anywhere_is_told(whole: Path, share: float) -> None:
    data = whole.read_bytes()
    path = whole.with_name("short.onnx")
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ConversionError):
        model_file.read(path)


@given(
    data=st.one_of(
        st.binary(),
        st.binary(min_size=1100, max_size=1200).map(model_with),
        st.lists(st.binary(max_size=3)).map(lambda parts: model_with(b"".join(parts) + RAW)),
    )
)
def test_any_bytes_are_a_model_or_told(whole: Path, data: bytes) -> None:
    path = whole.with_name("any.onnx")
    path.write_bytes(data)
    try:
        model_file.read(path)
    except ConversionError as error:
        assert error.hint


@given(at=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), header=st.booleans())
def test_a_file_with_one_byte_changed_is_a_model_or_told(whole: Path, at: float, byte: int, header: bool) -> None:
    data = bytearray(whole.read_bytes())
    data[int(at * (1000 if header else len(data)))] = byte
    path = whole.with_name("changed.onnx")
    path.write_bytes(data)
    try:
        model_file.read(path)
    except ConversionError as error:
        assert error.hint
