"""Quantize products with weights by onnxruntime's quantizers, and list the products that they left.

This relies on one private detail: a product that is quantized in blocks is called MatMulNBits.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from converter.backends.onnx.files.model_file import DATA_SUFFIX, SINGLE_FILE_LIMIT, read_names
from converter.backends.onnx.precision import BLOCK, Precision
from converter.backends.onnx.precision.linear import Layer
from converter.core.typing import Array

_OF_FLOATS = {"DefaultTensorType": onnx.TensorProto.FLOAT}
"""The output type of a product that onnx cannot infer, as behind a contrib operator."""
_INT8_ACTIVATIONS = 4
"""MatMulNBits' accuracy_level: the kernel may round activations to int8 in blocks, which makes it fast on a CPU."""


@dataclass(frozen=True)
class FloatModel:
    """A file to quantize, with its layers that can be quantized."""

    path: Path
    layers: Collection[Layer]

    @cached_property
    def products(self) -> frozenset[str]:
        """The names of all products: of layers, of activations, and with small matrices."""
        nodes = onnx.load(self.path, load_external_data=False).graph.node
        return frozenset(node.name for node in nodes if node.op_type == "MatMul")


def quantize(
    model: FloatModel, target: Path, precision: Precision, chosen: Collection[Layer], calibration: Sequence[Mapping[str, Array]]
) -> None:
    """Write a model to `target` with the `chosen` layers quantized to the precision's bits, and the others to its fallback if that is 8.

    `calibration` are inputs that determine the ranges of activations, for a static method.
    """
    source = model.path
    products = [layer.node for layer in chosen if not layer.is_embedding]
    excluded = sorted(model.products.difference(products))
    with _quiet(), tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = source
        if not products:
            graph = onnx.load(source)
        elif precision.method == "dynamic":
            made = Path(scratch, target.name)
            quantize_dynamic(
                source,
                made,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=excluded,
                use_external_data_format=True,
                extra_options=_OF_FLOATS,
            )
            graph = onnx.load(made)
        elif precision.method == "static":
            made = Path(scratch, target.name)
            quantize_static(
                source,
                made,
                _Calibration(calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                activation_type=QuantType.QUInt16,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=excluded,
                use_external_data_format=True,
                extra_options={**_OF_FLOATS, "UseQDQContribOps": True},  # 16 bits are no type of the standard operator before opset 21
            )
            graph = onnx.load(made)
        else:
            graph = _to_blocks(onnx.load(source), precision.bits, excluded)
        spared = [layer.node for layer in model.layers if layer not in chosen and not layer.is_embedding]
        if precision.fallback_bits == 8 and spared:
            graph = _to_blocks(graph, 8, [name for name in excluded if name not in spared])
        _quantize_embeddings(graph, [layer for layer in chosen if layer.is_embedding])
        save(graph, target)


def remaining(model: onnx.ModelProto, layers: Collection[Layer]) -> Iterator[str]:
    """The nodes, of those that were to be quantized, that a quantizer has left with their weights in floating point."""
    floats = {tensor.name for tensor in model.graph.initializer if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)}
    weights = {layer.weight for layer in layers} & floats
    yield from (node.name for node in model.graph.node if node.op_type in ("MatMul", "Gather") and weights.intersection(node.input))


def save(model: onnx.ModelProto, target: Path) -> None:
    """Write a model to `target`, with external data if one file is too small; every tensor as plain bytes."""
    for tensor in model.graph.initializer:
        if not tensor.raw_data:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    total = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    external = total > SINGLE_FILE_LIMIT
    onnx.save(model, target, save_as_external_data=external, location=f"{target.name}{DATA_SUFFIX}", size_threshold=1024)


def _to_blocks(model: onnx.ModelProto, bits: int, excluded: Sequence[str]) -> onnx.ModelProto:
    """The model with its products in blocks of `bits`."""
    with _unchanged_logging():
        from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
    config = DefaultWeightOnlyQuantConfig(block_size=BLOCK, accuracy_level=_INT8_ACTIVATIONS, bits=bits, op_types_to_quantize=("MatMul",))
    quantizer = MatMulNBitsQuantizer(model, algo_config=config, nodes_to_exclude=list(excluded))
    quantizer.process()
    made: onnx.ModelProto = quantizer.model.model
    return made


def _quantize_embeddings(model: onnx.ModelProto, layers: Collection[Layer]) -> None:
    """Store embeddings in int8 with one scale per row, by operators that every runtime has.

    The quantizers offer one scale per table, which loses more, and GatherBlockQuantized, which has no WebAssembly kernel in ONNX Runtime
    Web (of transformers.js 4.3.1, tried in a browser).
    """
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    tables = {layer.node: layer.weight for layer in layers}
    nodes = [part for node in graph.node for part in (_by_rows(node, stored) if node.name in tables else [node])]
    del graph.node[:]
    graph.node.extend(nodes)
    names = read_names(nodes) | {output.name for output in graph.output}
    del graph.initializer[:]
    graph.initializer.extend(tensor for name, tensor in stored.items() if name in names)


def _by_rows(gather: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> Iterator[onnx.NodeProto]:
    """The rows of a table in int8; the table is stored once for all its readers."""
    name, indices = gather.input
    table = numpy_helper.to_array(stored[name])
    if f"{name}.int8" not in stored:
        scales = np.maximum(np.abs(table).max(axis=1, keepdims=True) / 127, np.finfo(table.dtype).tiny)
        stored[f"{name}.int8"] = numpy_helper.from_array(np.rint(table / scales).clip(-127, 127).astype(np.int8), f"{name}.int8")
        stored[f"{name}.scales"] = numpy_helper.from_array(scales.astype(table.dtype), f"{name}.scales")
    rows, wide, scale = (f"{gather.output[0]}.{part}" for part in ("int8", "wide", "scale"))
    yield helper.make_node("Gather", [f"{name}.int8", indices], [rows], name=gather.name)
    yield helper.make_node("Gather", [f"{name}.scales", indices], [scale], name=f"{gather.name}.scale")
    yield helper.make_node("Cast", [rows], [wide], name=f"{gather.name}.wide", to=stored[name].data_type)
    yield helper.make_node("Mul", [wide, scale], [gather.output[0]], name=f"{gather.name}.scaled")


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, inputs: Sequence[Mapping[str, Array]]) -> None:
        self._left = iter(inputs)

    def get_next(self) -> dict[str, Array] | None:
        return next((dict(arrays) for arrays in self._left), None)


@contextmanager
def _unchanged_logging() -> Iterator[None]:
    """Protect the root logger from an import that makes every library log to standard error."""
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the quantizers' advice at the root logger; the result is read from the file."""
    logger = logging.getLogger()
    before = logger.manager.disable
    logging.disable(logging.ERROR)
    try:
        with np.errstate(invalid="ignore", divide="ignore"):  # of a block of zeros they take the scale for a number
            yield
    finally:
        logging.disable(before)
