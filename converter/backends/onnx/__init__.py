"""ONNX: the graph is captured by torch.export, the weights are streamed from the mapped checkpoint into the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from converter.backends.base import Backend, Session
from converter.errors import NotSupportedError
from converter.records import Options

if TYPE_CHECKING:
    from converter.architectures import OnnxConfig
    from converter.checkpoints.loading import LoadedModel


class OnnxOptions(Options):
    """The options of `converter onnx`."""

    opset: int | None = Field(
        None,
        ge=18,  # torch 2.13 with onnxscript 0.7 writes these without the lossy converter of the C API (measured)
        le=25,
        description="ONNX operator set. By default the exporter's recommended one.",
    )


class OnnxBackend(Backend):
    name = "onnx"
    main_file = "model.onnx"
    options = OnnxOptions
    packages = ("torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime")

    def convert(self, model: LoadedModel, config: OnnxConfig, options: Options, folder: Path) -> None:
        from converter.backends.onnx import capture, model_file

        assert isinstance(options, OnnxOptions)
        if model.dtype == "bfloat16":
            raise NotSupportedError(
                "ONNX Runtime does not compute bfloat16 on a CPU, so nothing could be validated", "leave dtype at float32"
            )
        graph = capture.capture(model, config, options.opset)
        model_file.write(graph, capture.bind(graph, model), folder / self.main_file)

    def open(self, folder: Path) -> Session:
        from converter.backends.onnx.session import OnnxSession

        return OnnxSession(folder / self.main_file)
