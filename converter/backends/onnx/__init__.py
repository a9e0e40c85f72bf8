"""ONNX: the graph is captured by torch.export, the weights are streamed from the mapped checkpoint into the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from converter.backends.base import Backend, Session
from converter.records import Options

if TYPE_CHECKING:
    from converter.architectures import OnnxConfig
    from converter.checkpoints.loading import LoadedModel


OPSETS = range(18, 26)
"""What torch 2.13 with onnxscript 0.7 writes without the lossy converter of the C API (measured)."""


class OnnxOptions(Options):
    """The options of `converter onnx`."""

    opset: int | None = Field(
        None,
        ge=OPSETS.start,
        le=OPSETS.stop - 1,
        description="ONNX operator set. By default the exporter's recommended one.",
    )


class OnnxBackend(Backend):
    name = "onnx"
    main_file = "model.onnx"
    options = OnnxOptions
    packages = ("torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime")

    def convert(self, model: LoadedModel, config: OnnxConfig, options: Options, folder: Path, preprocessor: Any = None) -> None:
        from converter.backends.onnx.export import export

        assert isinstance(options, OnnxOptions)
        export(preprocessor, model.module, config, options.opset, folder / self.main_file)

    def open(self, folder: Path) -> Session:
        from converter.backends.onnx.session import OnnxSession

        return OnnxSession(folder / self.main_file)
