"""The documented `export`: from a model to an ONNX file."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from converter.architectures import OnnxConfig
from converter.architectures.model_config import overridden
from converter.backends.cache import Cache
from converter.backends.conversion import ConfiguredModel
from converter.backends.onnx.capture.capture import capture
from converter.backends.onnx.capture.submodels import Submodel, submodels
from converter.backends.onnx.files import model_file
from converter.backends.onnx.files.graph_cache import GraphCache, graph_key
from converter.backends.onnx.files.shared_weights import Sharing, share
from converter.backends.onnx.options import OPSETS, Optimize
from converter.backends.result import ConversionResult, combine
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
    OnnxExport(ConfiguredModel(LoadedModel.of(model), config, preprocessor), opset).write(Path(output))
    return list(config.inputs), list(config.outputs)


@dataclass(frozen=True)
class OnnxExport:
    """A model on its way to its ONNX files.

    Args:
        configured: the model, its configuration, and a tokenizer if the configuration needs one.
        opset: the ONNX operator set; None for the configuration's default.
        optimize: the target of fusions.
        cache: graphs of earlier conversions; None to capture each.
        shared_in: the later folder of the files, if they refer to the checkpoint's own files and contain packed weights only.
    """

    configured: ConfiguredModel
    opset: int | None = None
    optimize: Optimize = "none"
    cache: Cache | None = None
    shared_in: Path | None = None

    def write(self, output: Path) -> ConversionResult:
        """Write the file `output`, or the files of an encoder and a decoder beside it. Raises as `export` does."""
        model, config = self.configured.model, self.configured.config
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
                written = [self._write(submodel, place) for submodel, place in zip(files, places, strict=True)]
                result = combine([part for part, _ in written])
                unused = unused_weights(model, frozenset().union(*(sources for _, sources in written)))
                note = f"no output depends on {counted(unused)}: {named(unused)}"
                return replace(result, notes=(*result.notes, note)) if unused else result
        finally:
            model.module.train(training)

    def _write(self, submodel: Submodel, output: Path) -> tuple[ConversionResult, frozenset[str]]:
        """Write one file, by a cached or captured graph; return the module's names of all weights in it too."""
        model, config, opset = self.configured.model, self.configured.config, self._checked_opset()
        cache = None if current().changes_capture else self.cache
        graphs, key = None, None
        if cache:
            graphs, key = GraphCache(cache), graph_key(model, config, opset, cache.versions, submodel.file, self.optimize)
        entry = graphs.find(key) if graphs and key else None
        if entry and not entry.fits(model):  # it is of another model, whatever it is called
            entry = None
        _logger.debug("%s: %s", output.name, "a cached graph serves" if entry else "capturing the graph")
        graph = entry or capture(model, config, opset, self.configured.preprocessor, submodel, self.optimize)
        weights = graph.bind(model)
        sharing = share(weights, model.folder, output, self.shared_in) if self.shared_in else Sharing({})
        model_file.write(graph, weights, output, places=sharing.places)
        result = ConversionResult(shared_files=sharing.shared_files, notes=(*sharing.notes, *([graph.fused] if graph.fused else [])))
        if graphs is None or key is None:
            return result, graph.sources
        if entry:
            return replace(result, reused=True, reject=partial(graphs.drop, key)), graph.sources
        return replace(result, accept=partial(graphs.keep, key, graph)), graph.sources

    def _checked_opset(self) -> int:
        opset = self.configured.config.default_onnx_opset if self.opset is None else self.opset
        if opset not in OPSETS:
            raise NotSupportedError(f"opset {opset} cannot be made", f"choose one from {OPSETS.start} to {OPSETS.stop - 1}")
        return opset


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
