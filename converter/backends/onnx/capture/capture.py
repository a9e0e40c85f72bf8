"""From a loaded model to an ONNX graph that names its weights by the module's parameter names and holds none of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes import common as passes
from onnxscript import optimizer

from converter.architectures import OnnxConfig
from converter.architectures.features import Axes
from converter.backends.onnx.capture.decomposition import decomposition_where_needed
from converter.backends.onnx.capture.submodels import Submodel, submodels
from converter.backends.onnx.capture.torch_patches import lean_exporter
from converter.backends.onnx.capture.transformers_patches import patched_export
from converter.backends.onnx.capture.translations import PRODUCTS, TRANSLATIONS
from converter.backends.onnx.files.graph import Graph
from converter.backends.onnx.options import Optimize
from converter.backends.onnx.passes.empty_reshape import allow_empty_reshape
from converter.backends.onnx.passes.fusion import fuse
from converter.checkpoints.calling import CACHE, sample
from converter.checkpoints.loading import LoadedModel
from converter.core.errors import ConversionError, ConverterError
from converter.core.reason import reason

_BATCH, _SEQUENCE, _CHOICE = 2, 8, 3
"""What a graph is captured at: different lengths, none of them 1, so that no two axes are taken for one."""

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
    """Capture `model` with the inputs, outputs and dynamic axes of `config`, or one of its `parts`, and fuse what `optimize` says.

    Raises ConversionError where the capture fails, or where the model does not take those inputs or give those outputs.
    """
    # with a cache there are 2 or 3 tokens more in it than new ones, and all need positions
    room = (config.max_sequence_length - 3) // 2 if config.use_past else config.max_sequence_length - 2
    size = config.size(_BATCH, max(2, min(_SEQUENCE, room)), _CHOICE)
    whole, tensors = sample(model, config, size, preprocessor)
    submodel = submodel or submodels(config)[0]
    try:
        wrapper = submodel.flat(model.module, whole)
        tensors = submodel.arguments(model.module, config, tensors)
        with lean_exporter(), torch.no_grad(), config.patch(model.module):
            graph = _translate(wrapper, tensors, submodel, opset, PRODUCTS if optimize == "cuda" else TRANSLATIONS)
        weights = {f"{_PREFIX}{name}" for name in model.tensors()}
        _simplify(graph, weights)
        if any(".encoder." in name for name in submodel.inputs):
            allow_empty_reshape(graph)
    except ConverterError:
        raise
    except Exception as error:  # a model's own code runs here, and may raise anything; it is told, with its cause
        raise ConversionError(f"the graph could not be captured: {reason(error)}", "see with --debug what torch says in full") from error
    _name_axes(graph.graph.inputs, submodel.inputs)
    _name_axes(graph.graph.outputs, submodel.outputs)
    _detach_weights(graph, weights)
    fused = fuse(graph, optimize, model.tensors())
    message = ir.to_proto(graph)
    message.graph.ClearField("value_info")  # a runtime infers it; given, ONNX Runtime fuses by it into the slower SkipLayerNormalization
    return Graph(message, tuple(value.name for value in _unbound(graph) if value.name), fused)


def _translate(
    wrapper: torch.nn.Module, tensors: tuple[torch.Tensor, ...], submodel: Submodel, opset: int | None, translations: Mapping[Any, Any]
) -> ir.Model:
    """What torch makes of the model, every operator of it translated; where it makes nothing, what it makes with transformers' patches."""

    def export(translations: Mapping[Any, Any]) -> torch.onnx.ONNXProgram:
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
        return program

    _tell_equal_lengths(wrapper, tensors, submodel)
    try:
        with decomposition_where_needed(_never_empty(submodel)):
            return export(translations).model
    except torch.onnx.OnnxExporterError as plain:  # an operator without a translation, or what torch.export does not take
        try:
            return patched_export(export, translations)
        except torch.onnx.OnnxExporterError as patched:
            raise patched from (plain.__cause__ or plain)


def _tell_equal_lengths(wrapper: torch.nn.Module, tensors: Sequence[torch.Tensor], submodel: Submodel) -> None:
    """Have the model say first which axes are equally long: torch has a symbol for each, and takes twice as long to find that out."""
    equal = _equal_lengths(tensors, submodel)

    def tell(_: torch.nn.Module, arguments: Sequence[torch.Tensor]) -> None:
        for axis, others in equal:
            torch._check(_length(arguments, axis) == sum(_length(arguments, other) for other in others))  # type: ignore[no-untyped-call]

    wrapper.register_forward_pre_hook(tell)


def _equal_lengths(tensors: Sequence[torch.Tensor], submodel: Submodel) -> list[tuple[_Axis, list[_Axis]]]:
    """Axes that are as long as another, or as several others in all, by their names; where it is not so in the sample, it is left out.

    A configuration of a user's own may call two lengths by one name.
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
    """The axes, by their input's place, that are never 0 long: a cache may be empty, and what is new in a call is not."""
    new = [(place, axes) for place, (name, axes) in enumerate(submodel.inputs.items()) if not name.startswith(CACHE)]
    return [(place, axis) for place, axes in new for axis in axes]


def _simplify(graph: ir.Model, weights: Collection[str]) -> None:
    """Inline and fold what is constant, but leave the weights as the checkpoint has them, so that they can be bound."""

    def takes_a_weight(node: ir.Node) -> bool:
        return any(value is not None and value.name in weights for value in node.inputs)

    passes.InlinePass()(graph)
    passes.CommonSubexpressionEliminationPass()(graph)
    optimizer.fold_constants(graph, should_fold=lambda node: False if takes_a_weight(node) else None)
    passes.RemoveUnusedNodesPass()(graph)
    passes.ClearMetadataAndDocStringPass()(graph)
    graph.metadata_props.clear()
    graph.graph.metadata_props.clear()


def _name_axes(values: Sequence[ir.Value], expected: Mapping[str, Axes]) -> None:
    for value, axes in zip(values, expected.values(), strict=True):
        shape = value.shape
        if shape is None:
            raise ConversionError(f"{value.name!r} has no shape", "report this")
        for axis, label in axes.items():
            if isinstance(shape[axis], int):
                raise ConversionError(
                    f"axis {axis} ({label}) of {value.name!r} came out fixed at {shape[axis]}",
                    "in a configuration of your own name only axes that vary; in a ready-made one this is a defect: report it",
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
