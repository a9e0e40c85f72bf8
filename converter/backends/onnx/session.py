"""A written ONNX file, run by ONNX Runtime at its default optimization level."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import torch

from converter.backends.onnx.files import model_file, tokens
from converter.backends.onnx.names import DECODER_FILE, ENCODER_FILE, STATES, TAKES
from converter.backends.onnx.precision import rounding
from converter.backends.onnx.precision.integers import matrices
from converter.backends.onnx.precision.linear import weight_of
from converter.backends.stored_weight import StoredWeight
from converter.core.errors import ConversionError
from converter.core.reason import reason
from converter.core.records import Signature, SubmodelSignature, TensorSpec
from converter.core.typing import Array

_PROVIDER = "CPUExecutionProvider"


class OnnxSession:
    """An ONNX file opened afresh.

    `deployed` as its users open it, for its latency, whatever memory that takes. `rounded` with each float16 value rounded, which this
    runtime's CPU provider does not do by itself.

    The runtime is given the file's own graph, with each large tensor as a reference to its bytes in that same file:
    so it maps them, where opening by name parses all weights into memory first (571 against 4 MB for BERT-base, by `make bench`).
    """

    unrunnable = ""
    notes: Sequence[str] = ()
    has_all_weights = True

    def __init__(self, path: Path, *, deployed: bool = False, rounded: bool = False) -> None:
        self.runtime = _runtime(rounded=rounded)
        self._file = path.name
        self._stored = model_file.read(path)
        try:
            graph = rounding.rounded(self._stored, values(self._stored, "float16")) if rounded else self._stored.with_external_weights()
            self._session = open_graph(graph, path.parent, deployed=deployed)
        except ConversionError as error:
            raise ConversionError(f"ONNX Runtime does not load {path}: {error.message}", "convert the checkpoint again") from error
        # the declared shape; the runtime replaces it by its inferred one
        declared = {value.name: _spec(value) for value in (*self._stored.skeleton.graph.input, *self._stored.skeleton.graph.output)}
        self.signature = Signature(
            inputs=tuple(declared[node.name] for node in self._session.get_inputs()),
            outputs=tuple(declared[node.name] for node in self._session.get_outputs()),
        )

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        names = [spec.name for spec in self.signature.outputs]
        try:
            results = self._session.run(names, dict(inputs))
        except Exception as error:  # as above
            raise ConversionError(f"ONNX Runtime does not run it: {reason(error)}") from error
        return {name: np.asarray(result) for name, result in zip(names, results, strict=True)}

    def feeds(self, inputs: Mapping[str, Array]) -> Mapping[str, Mapping[str, Array]]:
        """What its file is given when it is called with `inputs`."""
        return {self._file: inputs}

    def time(self, inputs: Mapping[str, Array]) -> float:
        started = time.perf_counter()
        self.run(inputs)
        return time.perf_counter() - started

    def tokens_apart(self, name: str, vocabulary: int) -> Collection[int]:
        return tokens.tokens_apart(self._stored, name, vocabulary)

    def changes(self) -> Iterator[str]:
        return iter(())  # an ONNX graph has no state

    def weights(self) -> Iterator[StoredWeight]:
        tensors = dict(self._stored.weights())
        used = self._stored.used()
        parts: set[str] = set()
        for matrix in matrices(self._stored.skeleton.graph, tensors):
            parts |= matrix.names
            stored = _stored(matrix.name, tensors[matrix.name], transposed=matrix.transposed)
            yield replace(stored, quantized=matrix.quantized, is_used=matrix.name in used)
        for name in [*tensors]:
            array = tensors.pop(name)  # releases the mapping of the file
            if name not in parts:
                yield replace(_stored(name, array), is_used=name in used)

    def close(self) -> None:
        del self._session


class SubmodelsSession:
    """An encoder's file and a decoder's as one model: called by the model's names, with the encoder's output passed on."""

    unrunnable = ""
    notes: Sequence[str] = ()
    has_all_weights = True

    def __init__(self, folder: Path, names: Sequence[str] = (ENCODER_FILE, DECODER_FILE), **opened: bool) -> None:
        self._sessions = {name: OnnxSession(folder / name, **opened) for name in names}
        self.runtime = _runtime(rounded=opened.get("rounded", False))
        encoder, decoder = (session.signature for session in self._sessions.values())
        specs = [spec.model_copy(update={"name": TAKES.get(spec.name, spec.name)}) for spec in decoder.inputs]
        inputs = {spec.name: spec for spec in (*encoder.inputs, *specs) if spec.name != STATES}
        self.signature = Signature(
            inputs=tuple(inputs.values()),
            outputs=decoder.outputs,
            submodels=tuple(
                SubmodelSignature(
                    file=name,
                    inputs=tuple(spec.name for spec in session.signature.inputs),
                    outputs=tuple(spec.name for spec in session.signature.outputs),
                    takes=TAKES if name == names[-1] else {},
                )
                for name, session in self._sessions.items()
            ),
        )

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        *_, (_, outputs) = self._calls(inputs)
        return outputs

    def feeds(self, inputs: Mapping[str, Array]) -> Mapping[str, Mapping[str, Array]]:
        """What each file is given when they are called with `inputs`."""
        return {part.file: feed for part, (feed, _) in zip(self.signature.submodels, self._calls(inputs), strict=True)}

    def _calls(self, inputs: Mapping[str, Array]) -> Iterator[tuple[Mapping[str, Array], Mapping[str, Array]]]:
        """What each file is given, and gives."""
        known = dict(inputs)
        for part in self.signature.submodels:
            feed = {name: known[part.takes.get(name, name)] for name in part.inputs}
            outputs = self._sessions[part.file].run(feed)
            known |= outputs
            yield feed, outputs

    def time(self, inputs: Mapping[str, Array]) -> float:
        started = time.perf_counter()
        self.run(inputs)
        return time.perf_counter() - started

    def tokens_apart(self, name: str, vocabulary: int) -> Collection[int]:
        return {
            token
            for part in self.signature.submodels
            for label in part.inputs
            if part.takes.get(label, label) == name
            for token in self._sessions[part.file].tokens_apart(label, vocabulary)
        }

    def changes(self) -> Iterator[str]:
        return iter(())  # an ONNX graph has no state

    def weights(self) -> Iterator[StoredWeight]:
        """Of both files; what both have, such as an embedding, is the same weight in each, and in neither stored twice."""
        for file, session in enumerate(self._sessions.values()):
            yield from (replace(weight, file=file) for weight in session.weights())

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()


def _stored(name: str, array: Array, *, transposed: bool = False) -> StoredWeight:
    """A tensor by its name, or the rows of a matrix of integers, stored as it is or `transposed`."""
    try:
        packed_weight, of_transposed = weight_of(name)
    except ValueError:  # a constant of the graph's own
        return StoredWeight(name, array, name)
    transposed ^= packed_weight.transposed ^ of_transposed
    if packed_weight.of == (name,) and not transposed:
        return StoredWeight(name, array, name)
    return StoredWeight(name, array, name, of=packed_weight.of, transposed=transposed)


def _runtime(*, rounded: bool) -> str:
    return f"onnxruntime {ort.__version__} {_PROVIDER}{', float16 values rounded' if rounded else ''}"


def open_files(folder: Path, names: Sequence[str], *, deployed: bool = False, rounded: bool = False) -> OnnxSession | SubmodelsSession:
    """Open the files of an artifact: one, or an encoder's and a decoder's."""
    if len(names) > 1:
        return SubmodelsSession(folder, names, deployed=deployed, rounded=rounded)
    return OnnxSession(folder / names[0], deployed=deployed, rounded=rounded)


def values(stored: model_file.StoredModel, dtype: str) -> list[str]:
    """The node outputs of a type; the runtime knows the types, also of contrib operators."""
    probe = onnx.ModelProto()
    probe.CopyFrom(stored.skeleton)
    del probe.graph.output[:]
    names = (name for node in probe.graph.node for name in node.output if name)
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = open_graph(replace(stored, skeleton=probe).with_external_weights(), stored.path.parent, as_written=True)
    kind = f"tensor({'float' if dtype == 'float32' else dtype})"
    return [value.name for value in session.get_outputs() if value.type == kind]


def open_graph(data: bytes, folder: Path, *, deployed: bool = False, as_written: bool = False) -> ort.InferenceSession:
    """Open a graph whose tensors lie in files of `folder`; `as_written` without the runtime's own optimizations.

    Raises ConversionError with the runtime's own words.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    if as_written:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.execution_order = ort.ExecutionOrder.PRIORITY_BASED  # a value is reduced once it is there: for GPT-2 542 MB, not 762
    if not deployed:
        # an arena, and copies of the weights in the layout of a processor's products, pay for a session that is kept: here they
        # would take a validation of BERT-base from 0.6 to 1.3 times the weights (RssAnon), and the same time
        options.enable_cpu_mem_arena = False
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a thread that waits leaves its core to others
    options.log_severity_level = 4  # errors are raised; warnings are of shapes that the verdict names itself
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder.resolve()))
    try:
        return ort.InferenceSession(data, options, providers=[_PROVIDER])
    except Exception as error:  # the bindings raise classes without a common base
        raise ConversionError(reason(error)) from error


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    return TensorSpec(
        name=value.name,
        dtype=ir.DataType(tensor.elem_type).numpy().name,
        shape=tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in tensor.shape.dim),
    )
