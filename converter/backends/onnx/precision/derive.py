"""Derive a variant from a float32 artifact: search the layers to quantize, and read the result from the file."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import onnx
import onnx_ir as ir

from converter.backends.evaluator import Evaluator
from converter.backends.onnx.files import model_file
from converter.backends.onnx.precision import Precision
from converter.backends.onnx.precision.half import to_bfloat16, to_float16
from converter.backends.onnx.precision.linear import Layer, prepare
from converter.backends.onnx.precision.quantizers import FloatModel, quantize, remaining, save
from converter.backends.onnx.precision.ranges import measure
from converter.backends.onnx.precision.search import search
from converter.backends.onnx.session import open_files
from converter.backends.variant_info import VariantInfo
from converter.core.errors import ConversionError, ConverterError
from converter.core.output_errors import output_error
from converter.core.reason import reason
from converter.core.records import Search
from converter.core.typing import Array

_QUANTIZED = ("MatMulNBits", "MatMulInteger")


def derive(folder: Path, names: Sequence[str], precision: Precision, evaluator: Evaluator) -> VariantInfo:
    """Make the variant `precision` of the files `names` in `folder`, beside them, named by the precision.

    Raises ConversionError for a model without a product to quantize, and with a library's message if it fails or the runtime cannot run
    the result; OutputError if it cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            if precision.method is not None:
                return _quantize(folder, names, precision, evaluator, Path(scratch))
            if precision.floats == "float16":
                return _halve(folder, names, precision, evaluator)
            for name in names:
                save(to_bfloat16(folder / name, evaluator.float32_weights(precision.floats)), folder / precision.file(name))
            return describe(folder, names, precision)
    except ConverterError:
        raise
    except OSError as error:
        raise output_error(folder, error) from error
    except Exception as error:  # quantizers raise whatever their parts raise
        raise ConversionError(f"{precision.file(names[-1])} could not be made: {reason(error)}", "leave this precision out") from error


def describe(folder: Path, names: Sequence[str], precision: Precision) -> VariantInfo:
    """Describe a variant by its files. Raises ConversionError if they cannot be read."""
    files = tuple(precision.file(name) for name in names)
    models = [model_file.read(folder / name) for name in files]
    quantized = sum(_quantized(model) for model in models)
    stored = Counter[str]()
    for model in models:
        for kind, size in _stored(model):
            stored[kind] += size
    problems = ("was to be quantized, and nothing in it is",) if precision.method and not quantized else ()
    if precision.floats != "float32" and not stored[precision.floats]:
        problems = (f"was to have tensors of {precision.floats}, and has none",)
    return VariantInfo(
        files=files,
        computed=precision.computed,
        quantized=quantized,
        activations=precision.method if precision.method in ("dynamic", "static") else "float",
        stored=stored,
        problems=problems,
    )


def _halve(folder: Path, names: Sequence[str], precision: Precision, evaluator: Evaluator) -> VariantInfo:
    feeds = _feeds(folder, names, evaluator.samples)
    float32: dict[str, float] = {}
    for name in names:
        model, roles = to_float16(folder / name, measure(folder / name, feeds[name]), evaluator.float32_weights("float16"))
        float32 = _largest(float32, roles)
        save(model, folder / precision.file(name))
    return replace(describe(folder, names, precision), float32=float32)


def _quantize(folder: Path, names: Sequence[str], precision: Precision, evaluator: Evaluator, scratch: Path) -> VariantInfo:
    sources = {name: scratch / f"float32-{name}" for name in names}
    layers = tuple(layer for name, source in sources.items() for layer in prepare(folder / name, source))
    if not any(not layer.is_embedding for layer in layers):
        raise ConversionError(
            f"{precision.file(names[-1])} cannot be made: no product with weights of the model can be quantized",
            "leave this precision out",
        )
    float32: dict[str, float] = {}
    if precision.floats == "float16":
        feeds = _feeds(folder, names, evaluator.samples)
        for name, source in sources.items():
            model, roles = to_float16(source, measure(source, feeds[name]), evaluator.float32_weights("float16"))
            float32 = _largest(float32, roles)
            sources[name] = scratch / f"float16-{name}"
            save(model, sources[name])
    calibration = _feeds(folder, names, evaluator.calibration) if precision.method == "static" else {}
    models = [FloatModel(source, [layer for layer in layers if layer.file == name]) for name, source in sources.items()]
    make = partial(_make, dict(zip(names, models, strict=True)), precision, calibration)
    trial = scratch / "trial"
    trial.mkdir()
    last: Collection[Layer] = ()

    def attempt(chosen: Collection[Layer]) -> tuple[bool, float]:
        nonlocal last
        make(chosen, trial)
        last = chosen
        session = open_files(trial, [precision.file(name) for name in names], rounded=precision.floats == "float16")
        try:
            return evaluator.attempt(session)
        finally:
            session.close()

    outcome = search(layers, attempt, fallback_bits=precision.fallback_bits)
    if outcome.chosen != last:
        make(outcome.chosen, trial)
    problems = [*_left(trial, precision, outcome.chosen)]
    for file in trial.iterdir():
        shutil.move(file, folder / file.name)
    known = describe(folder, names, precision)
    return replace(
        known,
        left_out={layer.role: _left_as(layer, precision) for layer in layers if layer not in outcome.chosen},
        float32=float32,
        calibrated=len(evaluator.calibration) if calibration else 0,
        search=Search(tried=outcome.tried, inputs=evaluator.inputs, cpu_seconds=outcome.cpu_seconds),
        problems=(*known.problems, *problems),
    )


def _make(
    models: Mapping[str, FloatModel],
    precision: Precision,
    calibration: Mapping[str, Sequence[Mapping[str, Array]]],
    chosen: Collection[Layer],
    folder: Path,
) -> None:
    """Write the files of the variant in which the `chosen` layers are quantized to `folder`."""
    for file in folder.iterdir():
        file.unlink()
    for name, model in models.items():
        own = [layer for layer in model.layers if layer in chosen]
        quantize(model, folder / precision.file(name), precision, own, calibration.get(name, ()))


def _left_as(layer: Layer, precision: Precision) -> str:
    """The weights' type of a layer that was left out."""
    return f"{precision.fallback_bits} bits" if precision.fallback_bits < 32 and not layer.is_embedding else precision.floats


def _feeds(folder: Path, names: Sequence[str], inputs: Sequence[Mapping[str, Array]]) -> Mapping[str, list[Mapping[str, Array]]]:
    """What each file is given when the model is called with each of `inputs`."""
    session = open_files(folder, names)
    try:
        feeds = [session.feeds(arrays) for arrays in inputs]
    finally:
        session.close()
    return {name: [feed[name] for feed in feeds] for name in names}


def _largest(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {role: max(one.get(role, 0.0), other.get(role, 0.0)) for role in (*one, *other)}


def _left(folder: Path, precision: Precision, chosen: Collection[Layer]) -> Iterator[str]:
    """Which of the layers that were to be quantized are not, in a clause."""
    for file in dict.fromkeys(layer.file for layer in chosen):
        own = [layer for layer in chosen if layer.file == file]
        model = onnx.load(folder / precision.file(file), load_external_data=False)
        left = [*remaining(model, own)]
        if left:
            yield f"has {len(left)} of {len(own)} layers that were to be quantized and are not, {left[0]} first"


def _quantized(model: model_file.StoredModel) -> int:
    """How many nodes have quantized weights."""
    stored = [*model.skeleton.graph.initializer, *(tensor.header for tensor in model.tensors)]
    narrow = {tensor.name for tensor in stored if tensor.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)}
    nodes = model.skeleton.graph.node
    gathered = [node for node in nodes if node.op_type in ("DequantizeLinear", "Gather") and node.input[0] in narrow]
    return sum(node.op_type in _QUANTIZED for node in nodes) + len(gathered)


def _stored(model: model_file.StoredModel) -> Iterator[tuple[str, int]]:
    """The type and the bytes of each stored tensor."""
    for tensor in model.skeleton.graph.initializer:
        yield _type(tensor), len(tensor.raw_data)
    for stored in model.tensors:
        yield _type(stored.header), stored.length


def _type(tensor: onnx.TensorProto) -> str:
    kind = ir.DataType(tensor.data_type)
    return "float32" if kind is ir.DataType.FLOAT else kind.name.lower()
