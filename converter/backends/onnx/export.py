"""The documented `export`: from a model to an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from converter.architectures import OnnxConfig
from converter.architectures.config import overridden
from converter.backends.onnx import OPSETS, capture, model_file
from converter.checkpoints.loading import LoadedModel
from converter.errors import NotSupportedError


def export(preprocessor: Any, model: Any, config: OnnxConfig, opset: int | None, output: Path) -> tuple[list[str], list[str]]:
    """Write `model` to the ONNX file `output`, and its weights beside it where one file cannot hold them.

    Args:
        preprocessor: the checkpoint's tokenizer, for a configuration that makes its own inputs with it; None otherwise.
        model: a model of transformers (`torch.nn.Module`) in float32 or float16. It is unchanged afterwards.
        config: what is exported of it.
        opset: the ONNX operator set; None is the configuration's default, which is the exporter's recommended one.
        output: the file to be written.

    Returns: the names of the inputs and of the outputs, in order.

    Raises: NotSupportedError for an operator set or a dtype that cannot be made; ConversionError where the configuration does not
    fit the model, where the graph cannot be captured, or where a weight would be made up; OutputError where it cannot be written.
    """
    loaded = LoadedModel(model)
    opset = config.default_onnx_opset if opset is None else opset
    if opset not in OPSETS:
        raise NotSupportedError(f"opset {opset} cannot be made", f"choose one from {OPSETS.start} to {OPSETS.stop - 1}")
    if loaded.dtype == "bfloat16":
        raise NotSupportedError("ONNX Runtime does not compute bfloat16 on a CPU, so nothing could be validated", "leave dtype at float32")
    training = model.training
    model.eval()
    try:
        with overridden(loaded.config, config.values_override):
            graph = capture.capture(loaded, config, opset, preprocessor)
            model_file.write(graph, capture.bind(graph, loaded), Path(output))
    finally:
        model.train(training)
    return list(config.inputs), list(config.outputs)
