"""ONNX: the graph is captured by torch.export, the weights are streamed from the mapped checkpoint into the file."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from converter.architectures import PROFILES, Architecture, in_profile, is_for_clients
from converter.architectures.features import WITH_PAST
from converter.backends.base import Backend, Cache, Conversion, Derived, Gauge, Session
from converter.backends.onnx.precision import OF_DTYPE, OF_QUANTIZE, PRECISIONS, Name, Quantize
from converter.checkpoints.policy import CONFIG
from converter.errors import ConversionError
from converter.records import MeasuredBy, Options, Signature, Tier

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


def _names(value: Any) -> Any:
    """`fp32,q8` as names, each once."""
    names = [each.strip() for each in value.split(",")] if isinstance(value, str) else value
    names = [OF_QUANTIZE.get(each, each) for each in names] if isinstance(names, list | tuple) else names
    wrong = [str(each) for each in names if each not in PRECISIONS] if isinstance(names, list) else []
    if wrong:
        raise PydanticCustomError(
            "variants", "there is no {wrong}; there are: {known}", {"wrong": wrong[0], "known": ", ".join(PRECISIONS)}
        )
    return names


_NAME = {"type": "string", "enum": [*PRECISIONS, "int8"]}
_Variants = Annotated[
    tuple[Name, ...],
    BeforeValidator(_names),
    WithJsonSchema({"anyOf": [{"type": "array", "items": _NAME, "minItems": 1}, {"type": "string"}]}),
]


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
    dtype: Literal["float32", "float16", "bfloat16", "checkpoint", "fp32", "fp16", "bf16"] = Field(  # type: ignore[assignment]
        "float32",
        description="Floating point type of the artifact: float32; float16 or bfloat16, by what that loses; or the checkpoint's own.",
    )
    quantize: Quantize | None = Field(
        None, description="Integers in place of floating point: of products and weights (int8, int8-static), of weights (w8, q4, q4f16)."
    )
    variants: _Variants = Field(
        (),
        examples=["fp32,fp16,q8,q4"],
        description=f"Several precisions at once, by commas, from one capture: {', '.join(PRECISIONS)}.",
    )
    tier: Tier = Field(
        "lossy",
        description="What a float16, bfloat16 or quantized file may lose at most, as measured on text: near-lossless, lossy, or any. "
        "docs/precision.md has the bounds.",
    )
    text: str | None = Field(
        None,
        min_length=1,
        description="A file of your own texts, one a line, to calibrate, choose and measure with. By default sentences in English.",
    )
    evaluate: str | None = Field(
        None,
        pattern=r"^([\w.]+|.+\.py):[A-Za-z_]\w*$",
        description="A metric of your own, `module:function` or `my_metric.py:function`, beside the ready-made. It is run.",
    )

    in_batch: ClassVar[Mapping[str, Any]] = {"profile": "hub"}

    @property
    def measured_by(self) -> MeasuredBy:
        return MeasuredBy(tier=self.tier, text=self.text, evaluate=self.evaluate)

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions of its files, each once, in the order of their table."""
        chosen = {*self.variants} or {OF_QUANTIZE[self.quantize] if self.quantize else OF_DTYPE.get(self.dtype, "fp32")}
        return tuple(name for name in PRECISIONS if name in chosen)

    @field_validator("quantize", "variants")
    @classmethod
    def _says_all(cls, chosen: Any, asked: ValidationInfo) -> Any:
        """A precision is said once: each of the three options says all of it."""
        before = [name for name in ("quantize", "dtype") if asked.data.get(name) not in (None, "float32")]
        if chosen and before:
            raise PydanticCustomError(
                "precision", "it says the floating point type too; leave {other} out", {"other": " and ".join(before)}
            )
        return chosen

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


_LAYOUTS = (("model.onnx",), (ENCODER_FILE, DECODER_FILE))
_EXACT = "fp32"


class OnnxBackend(Backend):
    name = "onnx"
    title = "ONNX"
    main_file = "model.onnx"
    client_files = ("*.onnx",)
    data_files = ("*.onnx_data*", "*.onnx.data*")
    exact = _EXACT
    made_beside = ("genai_config.json",)
    layouts = tuple(tuple(precision.file(name) for name in names) for precision in PRECISIONS.values() for names in _LAYOUTS)
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

    def beside(self, model: LoadedModel, config: OnnxConfig, signature: Signature, folder: Path) -> Mapping[str, bytes]:
        from converter.backends.onnx import genai
        from converter.backends.onnx.announced import announced

        if not is_for_clients(config):
            return {}
        tokens = getattr(model.module, "generation_config", None) or model.config
        file = f"{self.name}/{self.main_file_in(folder) or self.main_file}"
        found = genai.genai_config(signature, model.config, tokens, config.positions, file)
        made = {genai.FILE: found} if found else {}
        if model.folder:
            names = [path.name for path in folder.glob("*.onnx")]
            made[CONFIG] = announced((model.folder / CONFIG).read_bytes(), folder, names)
        return made

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
        # what others are only made of is removed, and shares nothing
        shared_in = (place or folder) if options.weights == "shared" and _EXACT in options.precisions else None
        conversion = export_with(cache, preprocessor, model, config, options.opset, folder / self.main_file, shared_in, options.optimize)
        return replace(conversion, notes=(*conversion.notes, *_notes(config)))

    def read_options(self, folder: Path, asked: Mapping[str, Any]) -> Options:
        from converter.backends.onnx import model_file

        inputs = model_file.read(folder / (self.main_file_in(folder) or self.main_file)).skeleton.graph.input
        batch = {dim.dim_param for value in inputs[:1] for dim in value.type.tensor_type.shape.dim[:1]}
        profile = next((each.name for each in PROFILES.values() if each.batch in batch and not asked.get("config")), "documented")
        found = [each for each in PRECISIONS.values() if any((folder / each.file(name)).is_file() for name in ("model.onnx", DECODER_FILE))]
        variants = [each.name for each in found] if [each.name for each in found] != [_EXACT] else []
        return OnnxOptions.model_validate({"profile": profile, "variants": variants, **asked})

    def open(self, folder: Path) -> Session:
        from converter.backends.onnx.session import open_files

        return open_files(folder, self._files_in(folder) or (self.main_file,))

    def variants(self, options: Options) -> tuple[str, ...]:
        assert isinstance(options, OnnxOptions)
        return options.precisions if options.precisions != (_EXACT,) or options.evaluate else ()

    def derive(self, folder: Path, variant: str, gauge: Gauge) -> Derived:
        from converter.backends.onnx.precision.derive import derive, describe

        precision, names = PRECISIONS[variant], self._names_in(folder, _EXACT)
        return derive(folder, names, precision, gauge) if variant != _EXACT else describe(folder, names, precision)

    def describe(self, folder: Path, variant: str) -> Derived:
        from converter.backends.onnx.precision.derive import describe

        return describe(folder, self._names_in(folder, variant), PRECISIONS[variant])

    def open_variant(self, folder: Path, variant: str, *, deployed: bool = False) -> Session:
        from converter.backends.onnx.session import open_files

        precision = PRECISIONS[variant]
        names = [precision.file(name) for name in self._names_in(folder, variant)]
        return open_files(folder, names, deployed=deployed, rounded=precision.floats == "float16" and not deployed)

    def drop(self, folder: Path, variant: str) -> None:
        for name in self._names_in(folder, variant):
            for file in folder.glob(f"{PRECISIONS[variant].file(name)}*"):
                file.unlink()

    def _names_in(self, folder: Path, variant: str) -> tuple[str, ...]:
        """What the files of a variant in `folder` are called in float32. Raises ConversionError where they are not there."""
        for names in _LAYOUTS:
            if all((folder / PRECISIONS[variant].file(name)).is_file() for name in names):
                return names
        raise ConversionError(f"there is no {PRECISIONS[variant].file(self.main_file)} in {folder}", "convert the checkpoint again")

    def _files_in(self, folder: Path) -> tuple[str, ...]:
        return self.files_of([name for name in self.file_names if (folder / name).is_file()])


def _notes(config: OnnxConfig) -> Iterator[str]:
    """What a user should know of an artifact that its profile's clients do not load."""
    if is_for_clients(config) and "decoder_input_ids" in config.inputs and config.feature.generates and not config.use_past:
        yield f"the clients of the Hub load no encoder and decoder without a cache; ask for {config.feature.name}{WITH_PAST}"
