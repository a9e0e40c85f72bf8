"""Capture a loaded model as an ONNX graph that names its weights by parameter names and has none of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch

from converter.architectures import OnnxConfig
from converter.architectures.features import Axes
from converter.backends.onnx.capture.decomposition import decomposition_where_needed
from converter.backends.onnx.capture.submodels import Submodel, submodels
from converter.backends.onnx.capture.torch_patches import lean_exporter, quiet_exporter
from converter.backends.onnx.capture.transformers_patches import patched_export
from converter.backends.onnx.capture.translations import PRODUCTS, TRANSLATIONS
from converter.backends.onnx.files.graph import Graph
from converter.backends.onnx.intermediates import Intermediates
from converter.backends.onnx.options import Optimize
from converter.backends.onnx.passes.empty_reshape import AllowEmptyReshapePass
from converter.backends.onnx.passes.fusion import fuse
from converter.backends.onnx.passes.manager import PassManager
from converter.backends.onnx.passes.runtime_types import RuntimeTypesPass
from converter.backends.onnx.passes.simplify import simplify_passes
from converter.checkpoints.cache_tensors import CACHE
from converter.checkpoints.loading import LoadedModel
from converter.checkpoints.sample_inputs import sample
from converter.core.debugging import current
from converter.core.errors import ConversionError, ConverterError
from converter.core.reason import reason

_BATCH, _SEQUENCE, _CHOICE = 2, 8, 3
"""The sizes of a capture: different lengths, none of them 1, so that no two axes are confused."""

_Axis = tuple[int, int]
"""An axis of an input: the input's place, and the axis."""

_PREFIX = "model."  # ExportWrapper's attribute


def capture(
    model: LoadedModel,
    config: OnnxConfig,
    opset: int | None,
    preprocessor: Any = None,
    submodel: Submodel | None = None,
    optimize: Optimize = "none",
) -> Graph:
    """Capture `model` with the inputs, outputs and dynamic axes of `config`, or one submodel, and fuse it for `optimize`.

    Raises ConversionError if the capture fails, or if the model lacks those inputs or outputs.
    """
    # with a cache there are 2 or 3 tokens more in it than new ones, and all need positions
    room = (config.max_sequence_length - 3) // 2 if config.use_past else config.max_sequence_length - 2
    size = config.size(_BATCH, max(2, min(_SEQUENCE, room)), _CHOICE)
    whole, tensors = sample(model, config, size, preprocessor)
    submodel = submodel or submodels(config)[0]
    settings = current()
    intermediates = Intermediates(settings.intermediates and settings.intermediates / Path(submodel.file).stem)
    try:
        wrapper = submodel.flat(model.module, whole)
        tensors = submodel.arguments(model.module, config, tensors)
        export = partial(_export, wrapper, tensors, submodel, opset, intermediates)
        with quiet_exporter() if settings.plain_export else lean_exporter(), torch.no_grad(), config.patch(model.module):
            _state_equal_lengths(wrapper, tensors, submodel)
            graph = _translate(export, PRODUCTS if optimize == "cuda" else TRANSLATIONS, None if settings.plain_export else submodel)
        intermediates.write("captured", graph)
        weights = {f"{_PREFIX}{name}" for name in model.tensors()}
        has_encoder_cache = any(".encoder." in name for name in submodel.inputs)
        passes = [*simplify_passes(weights), RuntimeTypesPass(), *([AllowEmptyReshapePass()] if has_encoder_cache else [])]
        PassManager(passes, intermediates)(graph)
    except ConverterError:
        raise
    except Exception as error:  # the model's own code runs here and may raise anything
        raise ConversionError(f"the graph could not be captured: {reason(error)}", "--debug shows torch's whole message") from error
    _name_axes(graph.graph.inputs, submodel.inputs)
    _name_axes(graph.graph.outputs, submodel.outputs)
    _detach_weights(graph, weights)
    fused = fuse(graph, optimize, model.tensors(), intermediates)
    message = ir.to_proto(graph)
    message.graph.ClearField("value_info")  # a runtime infers it; given, ONNX Runtime fuses by it into the slower SkipLayerNormalization
    return Graph(message, tuple(value.name for value in _unbound(graph) if value.name), fused)


def _export(
    wrapper: torch.nn.Module,
    tensors: tuple[torch.Tensor, ...],
    submodel: Submodel,
    opset: int | None,
    intermediates: Intermediates,
    translations: Mapping[Any, Any],
) -> torch.onnx.ONNXProgram:
    """Export a function of tensors with torch."""
    program = torch.onnx.export(
        wrapper,
        tensors,
        dynamo=True,
        input_names=list(submodel.inputs),
        output_names=list(submodel.outputs),
        dynamic_shapes=(tuple(dict(axes) for axes in submodel.inputs.values()),),
        opset_version=opset,
        custom_translation_table=dict(translations),
        optimize=False,
        verbose=False,
    )
    if program is None:
        raise ValueError("torch gave no graph")
    intermediates.write("exported-program", program.exported_program)
    return program


def _translate(
    export: Callable[[Mapping[Any, Any]], torch.onnx.ONNXProgram], translations: Mapping[Any, Any], submodel: Submodel | None
) -> ir.Model:
    """The exported graph; if an operator has no translation, exported again with transformers' patches.

    With a `submodel`, torch decomposes only operators that need it.
    """
    try:
        with decomposition_where_needed(_never_empty(submodel)) if submodel else nullcontext():
            return export(translations).model
    except torch.onnx.OnnxExporterError as plain:  # an operator without a translation, or code that torch.export refuses
        try:
            return patched_export(export, translations)
        except torch.onnx.OnnxExporterError as patched:
            raise patched from (plain.__cause__ or plain)


def _state_equal_lengths(wrapper: torch.nn.Module, tensors: Sequence[torch.Tensor], submodel: Submodel) -> None:
    """Have the model say first which axes are equally long: torch has a symbol for each, and takes twice as long to find that out."""
    equal = _equal_lengths(tensors, submodel)

    def state(_: torch.nn.Module, arguments: Sequence[torch.Tensor]) -> None:
        for axis, others in equal:
            torch._check(_length(arguments, axis) == sum(_length(arguments, other) for other in others))  # type: ignore[no-untyped-call]

    wrapper.register_forward_pre_hook(state)


def _equal_lengths(tensors: Sequence[torch.Tensor], submodel: Submodel) -> list[tuple[_Axis, list[_Axis]]]:
    """Axes as long as another, or as the sum of others, by their names; only if true in the sample.

    A custom configuration may give one name to two lengths.
    """
    labelled = [((place, axis), label) for place, axes in enumerate(submodel.inputs.values()) for axis, label in axes.items()]
    first = {label: axis for axis, label in reversed(labelled)}
    sums = [(first[label], label.split(" + ")) for label in first if " + " in label]
    equal = [
        *((axis, [first[label]]) for axis, label in labelled if axis != first[label]),
        *((axis, [first[submodel] for submodel in submodels]) for axis, submodels in sums if first.keys() >= {*submodels}),
    ]
    return [(axis, others) for axis, others in equal if _length(tensors, axis) == sum(_length(tensors, other) for other in others)]


def _length(tensors: Sequence[torch.Tensor], axis: _Axis) -> int:
    return tensors[axis[0]].shape[axis[1]]


def _never_empty(submodel: Submodel) -> list[tuple[int, int]]:
    """The axes, by their input's position, that are never 0 long: a cache may be empty, new tokens may not."""
    new = [(place, axes) for place, (name, axes) in enumerate(submodel.inputs.items()) if not name.startswith(CACHE)]
    return [(place, axis) for place, axes in new for axis in axes]


def _name_axes(values: Sequence[ir.Value], expected: Mapping[str, Axes]) -> None:
    for value, axes in zip(values, expected.values(), strict=True):
        shape = value.shape
        if shape is None:
            raise ConversionError(f"{value.name!r} has no shape", "report this")
        for axis, label in axes.items():
            if isinstance(shape[axis], int):
                raise ConversionError(
                    f"axis {axis} ({label}) of {value.name!r} came out fixed at {shape[axis]}",
                    "in a custom configuration, name only axes that vary; otherwise report this",
                )
            shape[axis] = ir.SymbolicDim(label)


def _detach_weights(graph: ir.Model, weights: Collection[str]) -> None:
    """Drop the values of parameters and buffers; constants that the capture made itself stay in the graph."""
    initializers = graph.graph.initializers
    for name, value in list(initializers.items()):
        if name in weights:
            del initializers[name]
            value.name = name.removeprefix(_PREFIX)
            value.const_value = None


def _unbound(graph: ir.Model) -> list[ir.Value]:
    """The values that nodes take and nothing gives, in the order of their first use."""
    sources = {*graph.graph.inputs, *graph.graph.initializers.values()}
    uses = (value for node in graph.graph.all_nodes() for value in node.inputs if value is not None)
    return list(dict.fromkeys(value for value in uses if value.producer() is None and value not in sources))
