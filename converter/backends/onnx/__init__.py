"""ONNX: the graph is captured by torch.export, the weights are streamed from the mapped checkpoint into the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from converter.backends.base import Backend, Cache, Conversion, Session
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
        json_schema_extra={"minimum": OPSETS.start, "maximum": OPSETS.stop - 1},
        description="ONNX operator set. By default the exporter's recommended one.",
    )
    weights: Literal["embedded", "shared"] = Field(
        "embedded",
        description="Where the weights are: in the ONNX file, or, shared, in the checkpoint's safetensors beside it, which it points into.",
    )

    @field_validator("opset")
    @classmethod
    def _can_be_made(cls, opset: int | None) -> int | None:
        """One sentence with the whole range, where pydantic's own would name the one bound that is missed."""
        if opset is not None and opset not in OPSETS:
            raise PydanticCustomError("opset", f"it cannot be made; choose one from {OPSETS.start} to {OPSETS.stop - 1}")
        return opset


class OnnxBackend(Backend):
    name = "onnx"
    title = "ONNX"
    main_file = "model.onnx"
    options = OnnxOptions
    packages = ("torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime")
    library = "transformers.js"
    caches = True
    loading = """
import onnxruntime
from huggingface_hub import snapshot_download

folder = snapshot_download("REPOSITORY", allow_patterns="onnx/*")
session = onnxruntime.InferenceSession(f"{folder}/onnx/model.onnx")
"""

    def attn_implementation(self, onnx_config: type[OnnxConfig]) -> str | None:
        return onnx_config.attn_implementation

    def convert(self, model: LoadedModel, config: OnnxConfig, options: Options, folder: Path, preprocessor: Any = None) -> None:
        self.convert_with(None, model, config, options, folder, preprocessor)

    def convert_with(
        self,
        cache: Cache | None,
        model: LoadedModel,
        config: OnnxConfig,
        options: Options,
        folder: Path,
        preprocessor: Any = None,
        place: Path | None = None,
    ) -> Conversion:
        from converter.backends.onnx.export import export_with

        assert isinstance(options, OnnxOptions)
        shared_in = (place or folder) if options.weights == "shared" else None
        return export_with(cache, preprocessor, model, config, options.opset, folder / self.main_file, shared_in)

    def open(self, folder: Path) -> Session:
        from converter.backends.onnx.session import OnnxSession

        return OnnxSession(folder / self.main_file)
