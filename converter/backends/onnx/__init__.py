"""ONNX: the graph is captured by torch.export, the weights are streamed from the mapped checkpoint into the file."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from converter.architectures import PROFILES, Architecture, in_profile, is_for_clients
from converter.architectures.features import WITH_PAST
from converter.backends.base import Backend, Cache, Conversion, Session
from converter.records import Options, Signature

if TYPE_CHECKING:
    from converter.architectures import OnnxConfig
    from converter.checkpoints.loading import LoadedModel


OPSETS = range(18, 26)
"""What torch 2.13 with onnxscript 0.7 writes without the lossy converter of the C API (measured)."""


ENCODER_FILE, DECODER_FILE = "encoder_model.onnx", "decoder_model_merged.onnx"
"""An encoder, and a decoder for its first call and all others: as transformers.js and optimum call them."""

STATES = "last_hidden_state"
"""What the encoder's file gives."""

TAKES: Mapping[str, str] = {
    "encoder_attention_mask": "attention_mask",
    "input_ids": "decoder_input_ids",
    "encoder_hidden_states": STATES,
}
"""What the decoder's file calls what the model takes or the encoder gives, where it is another name."""


Optimize = Literal["none", "cpu", "cuda"]
"""What a graph is fused for."""


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

    profile: Literal["documented", "hub"] = Field(
        "documented",
        description="Which files there are, and what they take: as `transformers.onnx` had it, or, hub, as transformers.js, optimum and "
        "sentence-transformers load it. hub is the default of a manifest.",
    )

    optimize: Optimize = Field(
        "none",
        description="What the graph is fused for: cpu, what ONNX Runtime's kernels for a CPU were measured to be faster with (tokens kept "
        "as rows from layer to layer, products that read heads as they lie); cuda, the operators of its own that it has CUDA kernels for "
        "(Attention, SkipLayerNormalization, BiasGelu), validated on a CPU, where they are slower.",
    )

    in_batch: ClassVar[Mapping[str, Any]] = {"profile": "hub"}

    @property
    def prefers_cache(self) -> bool:
        return PROFILES[self.profile].with_past

    @field_validator("profile")
    @classmethod
    def _is_ready_made(cls, profile: str, asked: ValidationInfo) -> str:
        if asked.data.get("config") and profile != "documented":
            raise PydanticCustomError("profile", "a configuration of your own says itself what its files take; leave profile out")
        return profile

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
    layouts = (("model.onnx",), (ENCODER_FILE, DECODER_FILE))
    options = OnnxOptions
    packages = ("torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime")
    library = "transformers.js"
    caches = True
    loading = """
import onnxruntime
from huggingface_hub import snapshot_download

folder = snapshot_download("REPOSITORY", allow_patterns="onnx/*")
session = onnxruntime.InferenceSession(f"{folder}/onnx/FILE")
"""

    def configure(self, architecture: Architecture, model: LoadedModel, options: Options) -> OnnxConfig:
        """As its profile has it; a configuration of the user's own is as the user wrote it."""
        assert isinstance(options, OnnxOptions)
        assert options.feature
        if options.config:
            return super().configure(architecture, model, options)
        taken = inspect.signature(model.module.forward).parameters
        onnx_config = in_profile(architecture.onnx_config, PROFILES[options.profile], taken)
        return replace(architecture, onnx_config=onnx_config).configure(model.config, options.feature)

    def beside(self, model: LoadedModel, config: OnnxConfig, signature: Signature) -> Mapping[str, bytes]:
        from converter.backends.onnx import genai

        if not is_for_clients(config):
            return {}
        tokens = getattr(model.module, "generation_config", None) or model.config
        file = f"{self.name}/{self.main_file}"
        found = genai.genai_config(signature, model.config, tokens, config.positions, file)
        return {genai.FILE: found} if found else {}

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
        conversion = export_with(cache, preprocessor, model, config, options.opset, folder / self.main_file, shared_in, options.optimize)
        return replace(conversion, notes=(*conversion.notes, *_notes(config)))

    def read_options(self, folder: Path, asked: Mapping[str, Any]) -> Options:
        from converter.backends.onnx import model_file

        inputs = model_file.read(folder / (self.main_file_in(folder) or self.main_file)).skeleton.graph.input
        batch = {dim.dim_param for value in inputs[:1] for dim in value.type.tensor_type.shape.dim[:1]}
        profile = next((each.name for each in PROFILES.values() if each.batch in batch and not asked.get("config")), "documented")
        return OnnxOptions.model_validate({"profile": profile, **asked})

    def open(self, folder: Path) -> Session:
        from converter.backends.onnx.session import OnnxSession, PartsSession

        return PartsSession(folder) if self.main_file_in(folder) == DECODER_FILE else OnnxSession(folder / self.main_file)


def _notes(config: OnnxConfig) -> Iterator[str]:
    """What a user should know of an artifact that its profile's clients do not load."""
    if is_for_clients(config) and "decoder_input_ids" in config.inputs and config.feature.generates and not config.use_past:
        yield f"the clients of the Hub load no encoder and decoder without a cache; ask for {config.feature.name}{WITH_PAST}"
