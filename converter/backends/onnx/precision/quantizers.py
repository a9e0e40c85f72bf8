"""Quantizing the products with weights, by onnxruntime's own quantizers; and what they have left as it was.

Relied on beside the documented functions: that a node which is quantized to blocks is called MatMulNBits or GatherBlockQuantized.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from converter.architectures.dummies import Array
from converter.backends.onnx.model_file import DATA_SUFFIX, SINGLE_FILE_LIMIT
from converter.backends.onnx.precision import BLOCK, Method
from converter.backends.onnx.precision.linear import Layer

_INT8_ACTIVATIONS = 4
"""MatMulNBits' accuracy_level: the kernel may round activations to int8 in blocks, which is what makes it fast on a CPU."""


def quantize(
    source: Path,
    target: Path,
    method: Method,
    layers: Collection[Layer],
    chosen: Collection[Layer],
    *,
    bits: int,
    spared_bits: int,
    calibration: Sequence[Mapping[str, Array]],
) -> None:
    """Write `source` to `target` with the `chosen` of its `layers` quantized to `bits`, and the others to `spared_bits` where these are 8.

    `calibration` are inputs that the ranges of activations are found by, where they are found beforehand.
    """
    left = [layer.node for layer in layers if layer not in chosen]
    kinds = sorted({"Gather" if layer.is_embedding else "MatMul" for layer in chosen})
    excluded = sorted({*left, *_others(source, layers)})
    with _quiet(), tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        if not chosen:
            save(onnx.load(source), target)
        elif method == "dynamic":
            made = Path(scratch, target.name)
            quantize_dynamic(
                source,
                made,
                op_types_to_quantize=kinds,
                per_channel=True,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=excluded,
                use_external_data_format=True,
            )
            save(onnx.load(made), target)
        elif method == "static":
            made = Path(scratch, target.name)
            quantize_static(
                source,
                made,
                _Calibration(calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=kinds,
                per_channel=True,
                activation_type=QuantType.QUInt16,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=excluded,
                use_external_data_format=True,
                extra_options={"UseQDQContribOps": True},  # 16 bits are no type of the standard operator before opset 21
            )
            save(onnx.load(made), target)
        else:
            model = _to_blocks(onnx.load(source), kinds, bits, excluded)
            spared = [layer for layer in layers if layer not in chosen and not layer.is_embedding]
            if spared_bits == 8 and spared:
                done = [node.name for node in model.graph.node if node.op_type == "MatMul"]
                keep = {layer.node for layer in spared}
                model = _to_blocks(model, ["MatMul"], 8, [name for name in done if name not in keep])
            save(model, target)


def remaining(model: onnx.ModelProto, layers: Collection[Layer]) -> Iterator[str]:
    """The nodes, of those that were to be quantized, that a quantizer has left with their weights in floating point."""
    floats = {tensor.name for tensor in model.graph.initializer if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)}
    weights = {layer.weight for layer in layers} & floats
    yield from (node.name for node in model.graph.node if node.op_type in ("MatMul", "Gather") and weights.intersection(node.input))


def save(model: onnx.ModelProto, target: Path) -> None:
    """Write a model to `target`, and its tensors beside it where one file cannot hold them; every tensor as plain bytes."""
    for tensor in model.graph.initializer:
        if not tensor.raw_data:
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
    total = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    external = total > SINGLE_FILE_LIMIT
    onnx.save(model, target, save_as_external_data=external, location=f"{target.name}{DATA_SUFFIX}", size_threshold=1024)


def _others(source: Path, layers: Collection[Layer]) -> Iterator[str]:
    """The nodes of the kinds that quantizers look for which are none of `layers`: products of activations, and matrices too small."""
    known = {layer.node for layer in layers}
    for node in onnx.load(source, load_external_data=False).graph.node:
        if node.op_type in ("MatMul", "Gather") and node.name not in known:
            yield node.name


def _to_blocks(model: onnx.ModelProto, kinds: Sequence[str], bits: int, excluded: Sequence[str]) -> onnx.ModelProto:
    """The model with its products in blocks of `bits`; embeddings have blocks of 4 bits alone, as of 8 there is no kernel."""
    with _unchanged_logging():
        from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
    config = DefaultWeightOnlyQuantConfig(block_size=BLOCK, accuracy_level=_INT8_ACTIVATIONS, bits=bits, op_types_to_quantize=tuple(kinds))
    quantizer = MatMulNBitsQuantizer(model, algo_config=config, nodes_to_exclude=list(excluded))
    quantizer.process()
    made: onnx.ModelProto = quantizer.model.model
    return made


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, inputs: Sequence[Mapping[str, Array]]) -> None:
        self._left = iter(inputs)

    def get_next(self) -> dict[str, Array] | None:
        return next((dict(each) for each in self._left), None)


@contextmanager
def _unchanged_logging() -> Iterator[None]:
    """Let an import leave the root logger as it is: this one has every library tell every step on standard error."""
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantizers log at the root what they skip, and advise preparations that were made; what was left is found by looking."""
    logger = logging.getLogger()
    before = logger.manager.disable
    logging.disable(logging.ERROR)
    try:
        with np.errstate(invalid="ignore", divide="ignore"):  # of a block of zeros they take the scale for a number
            yield
    finally:
        logging.disable(before)
