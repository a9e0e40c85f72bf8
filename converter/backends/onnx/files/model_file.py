"""The ONNX file on disk: written a tensor at a time, read as a skeleton with the place of each tensor.

A protobuf message is a sequence of fields, and a field may come in any order, so the graph is written first and each
weight behind it straight from the mapped checkpoint. No weight is ever held in memory, which `onnx.save` and `onnx.load`
cannot avoid: they build the whole message, twice.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import IO

import numpy as np
import onnx
import onnx_ir as ir
import torch

from converter.backends.onnx.files.graph import Graph
from converter.backends.onnx.files.packed_weights import Weights
from converter.core.errors import ConversionError
from converter.core.output_errors import output_error
from converter.core.typing import Array

SINGLE_FILE_LIMIT = 2**31 - 2**20
"""The limit of a protobuf message in bytes, less a reserve."""

DATA_SUFFIX = "_data"
"""transformers.js asks for `model.onnx_data` beside `model.onnx`."""

_ALIGNMENT = 4096  # of a tensor in the data file: a page, so that a runtime can map it
_EMBEDDED_MINIMUM = 1024  # bytes; a smaller tensor is part of the skeleton

# Field numbers of onnx.proto3, and protobuf's wire types.
_MODEL_GRAPH = 7
_GRAPH_INITIALIZER = 5
_TENSOR_RAW_DATA = 9
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Place:
    """The place of a tensor's bytes: a file beside the ONNX file, and an offset."""

    location: str
    offset: int


def write(
    graph: Graph,
    weights: Mapping[str, torch.Tensor],
    path: Path,
    single_file_limit: int = SINGLE_FILE_LIMIT,
    places: Mapping[str, Place] = MappingProxyType({}),
) -> None:
    """Write `graph` with the tensors of its `weights` to `path`, and to `path`_data if one file is too small.

    Tensors with an entry in `places` are referred to there. Raises OutputError if the disk refuses.
    """
    skeleton = onnx.ModelProto()
    skeleton.CopyFrom(graph.model)
    for name, place in places.items():
        _refer(skeleton.graph.initializer.add(), _tensor_header(name, weights[name]), place, weights[name].nbytes)
    weights = weights.without(places) if isinstance(weights, Weights) else {name: weights[name] for name in weights if name not in places}
    total = sum(tensor.nbytes for tensor in weights.values()) + skeleton.ByteSize()
    try:
        if total <= single_file_limit:
            _write_embedded(skeleton, weights, path)
        else:
            _write_external(skeleton, weights, path)
    except OSError as error:
        raise output_error(path, error) from error


def _write_embedded(skeleton: onnx.ModelProto, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    headers = {name: (_tensor_header(name, tensor).SerializeToString(), tensor.nbytes) for name, tensor in weights.items()}
    prefixes = {
        name: (header + (_tag(_TENSOR_RAW_DATA, _BYTES) + _varint(length) if length else b""), length)
        for name, (header, length) in headers.items()
    }
    fields = {
        name: (_tag(_GRAPH_INITIALIZER, _BYTES) + _varint(len(prefix) + length) + prefix, length)
        for name, (prefix, length) in prefixes.items()
    }
    graph = skeleton.graph.SerializeToString()
    rest = onnx.ModelProto()
    rest.CopyFrom(skeleton)
    rest.ClearField("graph")
    size = len(graph) + sum(len(field) + length for field, length in fields.values())
    with open(path, "wb") as file:
        file.write(rest.SerializeToString())
        file.write(_tag(_MODEL_GRAPH, _BYTES) + _varint(size))
        file.write(graph)
        for name, (field, _) in fields.items():
            file.write(field)
            _write_tensor(file, weights[name])


def _write_external(skeleton: onnx.ModelProto, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    data = free_data_file(path)
    with open(data, "wb") as file:
        for name, tensor in weights.items():
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            _refer(skeleton.graph.initializer.add(), _tensor_header(name, tensor), Place(data.name, file.tell()), tensor.nbytes)
            _write_tensor(file, tensor)
    path.write_bytes(skeleton.SerializeToString())


def free_data_file(path: Path) -> Path:
    """The next data file of the ONNX file `path`: `path`_data, then `path`_data_1, …, as transformers.js requests them."""
    names = (f"{path.name}{DATA_SUFFIX}{f'_{number}' if number else ''}" for number in count())
    return next(file for file in map(path.with_name, names) if not file.exists())


def _tensor_header(name: str, tensor: torch.Tensor) -> onnx.TensorProto:
    dtype = ir.DataType.from_numpy(np.dtype(str(tensor.dtype).removeprefix("torch.")))
    return onnx.TensorProto(name=name, dims=tuple(tensor.shape), data_type=dtype.value)


def _write_tensor(file: IO[bytes], tensor: torch.Tensor) -> None:
    """Write a tensor's bytes: a view of the mapped file goes straight through, only a strided one is copied."""
    if tensor.nbytes:
        file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)


def _refer(tensor: onnx.TensorProto, header: onnx.TensorProto, place: Place, length: int) -> None:
    tensor.CopyFrom(header)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", place.location), ("offset", place.offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StoredTensor:
    """A tensor's header, the place of its bytes, and how many they are."""

    header: onnx.TensorProto
    place: Place
    length: int


@dataclass(frozen=True)
class StoredModel:
    """An ONNX file without its large tensors, and the places of these."""

    path: Path
    skeleton: onnx.ModelProto
    tensors: tuple[StoredTensor, ...]

    def with_external_weights(self) -> bytes:
        """The model as bytes in which every large tensor is a reference to its place in the file it came from."""
        model = onnx.ModelProto()
        model.CopyFrom(self.skeleton)
        for stored in self.tensors:
            _refer(model.graph.initializer.add(), stored.header, stored.place, stored.length)
        return bytes(model.SerializeToString())

    def weights(self) -> Iterator[tuple[str, Array]]:
        """Each initializer and constant by name; a large initializer is mapped from its file."""
        for node in self.skeleton.graph.node:
            for attribute in node.attribute if node.op_type == "Constant" else ():
                if attribute.name == "value":
                    yield node.output[0], onnx.numpy_helper.to_array(attribute.t)
        for tensor in self.skeleton.graph.initializer:
            yield tensor.name, onnx.numpy_helper.to_array(tensor)
        files: dict[str, Array] = {}
        for stored in self.tensors:
            place = stored.place
            if place.location not in files:
                files[place.location] = np.memmap(self.path.with_name(place.location), np.uint8, "r")
            data = files[place.location][place.offset : place.offset + stored.length]
            yield stored.header.name, data.view(ir.DataType(stored.header.data_type).numpy()).reshape(tuple(stored.header.dims))

    def used(self) -> frozenset[str]:
        """The names that an output depends on."""
        producers = {name: node for node in self.skeleton.graph.node for name in node.output if name}
        waiting = [value.name for value in self.skeleton.graph.output]
        names: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in names:
                names.add(name)
                waiting += read_names([producers[name]]) if name in producers else ()
        return frozenset(names)


def read_names(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """The names that nodes read, in inner graphs too."""
    names: set[str] = set()
    for node in nodes:
        names.update(node.input)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                names |= read_names(inner.node) | {output.name for output in inner.output}
    return names


def read(path: Path) -> StoredModel:
    """Read an ONNX file without its large tensors. Raises ConversionError for another or incomplete file."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse(path, data)
    except (OSError, ValueError, EOFError) as error:
        raise ConversionError(f"{path} is not an ONNX file: {error}", "convert the checkpoint again") from error


def _parse(path: Path, data: mmap.mmap) -> StoredModel:
    rest, graph = bytearray(), bytearray()
    tensors = []
    for number, start, body, end in _fields(data, 0, len(data)):
        if number != _MODEL_GRAPH:
            rest += data[start:end]
            continue
        for inner, inner_start, inner_body, inner_end in _fields(data, body, end):
            if inner == _GRAPH_INITIALIZER and inner_end - inner_body >= _EMBEDDED_MINIMUM:
                tensors.append(_parse_tensor(path, data, inner_body, inner_end))
            else:
                graph += data[inner_start:inner_end]
    skeleton = onnx.ModelProto()
    _merge(skeleton, rest)
    _merge(skeleton.graph, graph)
    if not skeleton.graph.node:
        raise ValueError("it holds no graph")
    tensors += [_external(tensor) for tensor in skeleton.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    inline = [tensor for tensor in skeleton.graph.initializer if tensor.data_location != onnx.TensorProto.EXTERNAL]
    del skeleton.graph.initializer[:]
    skeleton.graph.initializer.extend(inline)
    return StoredModel(path, skeleton, tuple(tensors))


def _parse_tensor(path: Path, data: mmap.mmap, start: int, end: int) -> StoredTensor:
    header = bytearray()
    place = None
    for number, field_start, body, field_end in _fields(data, start, end):
        if number == _TENSOR_RAW_DATA:
            place = (body, field_end - body)
        else:
            header += data[field_start:field_end]
    tensor = onnx.TensorProto()
    _merge(tensor, header)
    if place is None:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            raise ValueError(f"the tensor {tensor.name!r} is stored in typed fields, which no exporter of today writes")
        return _external(tensor)
    offset, length = place
    return StoredTensor(tensor, Place(path.name, offset), length)


def _merge(message: onnx.ModelProto | onnx.GraphProto | onnx.TensorProto, data: bytearray) -> None:
    try:
        message.MergeFromString(bytes(data))
    except Exception as error:  # protobuf's own DecodeError is a plain Exception
        raise ValueError(str(error)) from error


def _external(tensor: onnx.TensorProto) -> StoredTensor:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if not location or Path(location).name != location:
        raise ValueError(f"the tensor {tensor.name!r} is at {location!r}, which is not a file beside the model")
    if "length" not in entries:
        raise ValueError(f"nothing says how long the tensor {tensor.name!r} is in {location!r}")
    header = onnx.TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
    return StoredTensor(header, Place(location, int(entries.get("offset", 0))), int(entries["length"]))


def _fields(data: mmap.mmap, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The fields of the message in data[position:end]: number, start, start of the content, end."""
    while position < end:
        start = position
        key, position = _read_varint(data, position)
        number, kind = key >> 3, key & 7
        body = position
        if kind == _VARINT:
            _, position = _read_varint(data, position)
        elif kind == _BYTES:
            length, body = _read_varint(data, position)
            position = body + length
        elif kind in (_FIXED32, _FIXED64):
            position += 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"byte {start} starts no protobuf field")
        if position > end:
            raise EOFError(f"it is cut short: {position - end} bytes are missing")
        yield number, start, body, position


def _read_varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise EOFError("it is cut short")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
    raise ValueError(f"byte {position} belongs to no number")


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _tag(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)
