"""The documented `export`: from a model to an ONNX file."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from converter.architectures import OnnxConfig
from converter.architectures.model_config import overridden
from converter.backends.cache import Cache
from converter.backends.conversion import Conversion, combine
from converter.backends.onnx.capture.capture import capture
from converter.backends.onnx.capture.submodels import Submodel, submodels
from converter.backends.onnx.files import model_file
from converter.backends.onnx.files.graph_cache import GraphCache, graph_key
from converter.backends.onnx.files.shared_weights import Sharing, share
from converter.backends.onnx.options import OPSETS, Optimize
from converter.checkpoints.dropped import counted, named
from converter.checkpoints.loading import LoadedModel
from converter.core.debugging import current
from converter.core.errors import NotSupportedError

_logger = logging.getLogger(__name__)


def export(preprocessor: Any, model: Any, config: OnnxConfig, opset: int | None, output: Path) -> tuple[list[str], list[str]]:
    """Write `model` to the ONNX file `output`, and its weights beside it if one file is too small.

    Args:
        preprocessor: the checkpoint's tokenizer, for a configuration that makes its own inputs with it; otherwise None.
        model: a model of transformers (`torch.nn.Module`) in float32 or float16. It is unchanged afterwards.
        config: the configuration of the export.
        opset: the ONNX operator set; None for the configuration's default, the exporter's recommendation.
        output: the path of the file.

    Returns:
        The names of the inputs and of the outputs, in order.

    Raises:
        NotSupportedError: the opset or dtype is impossible.
        ConversionError: the configuration does not fit the model, the capture fails, or a weight is missing.
        OutputError: the file cannot be written.
    """
    export_with(None, preprocessor, LoadedModel(model), config, opset, Path(output))
    return list(config.inputs), list(config.outputs)


def export_with(
    cache: Cache | None,
    preprocessor: Any,
    model: LoadedModel,
    config: OnnxConfig,
    opset: int | None,
    output: Path,
    shared_in: Path | None = None,
    optimize: Optimize = "none",
) -> Conversion:
    """The same with a cached graph, if `cache` has the one for this model.

    With `shared_in`, the later folder of `output`, the file refers to the checkpoint's own files and contains packed weights only.
    `optimize` is the target of fusions.
    """
    opset = config.default_onnx_opset if opset is None else opset
    if opset not in OPSETS:
        raise NotSupportedError(f"opset {opset} cannot be made", f"choose one from {OPSETS.start} to {OPSETS.stop - 1}")
    if model.dtype == "bfloat16":
        raise NotSupportedError(
            "ONNX Runtime does not compute bfloat16 on a CPU, so nothing could be validated",
            "ask for precision=bf16, which stores the weights so and computes in float32, or leave precision out",
        )
    training = model.module.training
    model.module.eval()
    try:
        with overridden(model.config, config.values_override):
            files = submodels(config)
            places = [output if len(files) == 1 else output.parent / submodel.file for submodel in files]
            written = [
                _write(cache, preprocessor, model, config, opset, submodel, place, shared_in, optimize)
                for submodel, place in zip(files, places, strict=True)
            ]
            conversion = combine([part for part, _ in written])
            unused = unused_weights(model, frozenset().union(*(sources for _, sources in written)))
            note = f"no output depends on {counted(unused)}: {named(unused)}"
            return replace(conversion, notes=(*conversion.notes, note)) if unused else conversion
    finally:
        model.module.train(training)


def _write(
    cache: Cache | None,
    preprocessor: Any,
    model: LoadedModel,
    config: OnnxConfig,
    opset: int,
    submodel: Submodel,
    output: Path,
    shared_in: Path | None,
    optimize: Optimize,
) -> tuple[Conversion, frozenset[str]]:
    """One file, by a graph that is kept or captured, and the module's names of all weights in it."""
    cache = None if current().changes_capture else cache
    graphs, key = (GraphCache(cache), graph_key(model, config, opset, cache.versions, submodel.file, optimize)) if cache else (None, None)
    entry = graphs.find(key) if graphs and key else None
    if entry and not entry.fits(model):  # it is of another model, whatever it is called
        entry = None
    _logger.debug("%s: %s", output.name, "a cached graph serves" if entry else "capturing the graph")
    graph = entry or capture(model, config, opset, preprocessor, submodel, optimize)
    weights = graph.bind(model)
    sharing = share(weights, model.folder, output, shared_in) if shared_in else Sharing({})
    model_file.write(graph, weights, output, places=sharing.places)
    conversion = Conversion(shared_files=sharing.shared_files, notes=(*sharing.notes, *([graph.fused] if graph.fused else [])))
    if graphs is None or key is None:
        return conversion, graph.sources
    if entry:
        return replace(conversion, reused=True, reject=partial(graphs.drop, key)), graph.sources
    return replace(conversion, accept=partial(graphs.keep, key, graph)), graph.sources


_NOT_NOTED = frozenset({"pooler", "mask_token", "masked_spec_embed"})
"""Names of what every model of a family leaves out: the pooler of `default`, and what stands for hidden patches and frames in training."""


def unused_weights(model: LoadedModel, used: Collection[str]) -> list[str]:
    """The trained parameters of `model` that are neither among the `used` names nor tied to one of them, without `_NOT_NOTED`."""
    parameters = dict(model.module.named_parameters(remove_duplicate=False))
    places = {parameters[name].data_ptr() for name in used if name in parameters}
    return [
        name
        for name, tensor in parameters.items()
        if name not in model.made_up and tensor.data_ptr() not in places and tensor.numel() and _NOT_NOTED.isdisjoint(name.split("."))
    ]
