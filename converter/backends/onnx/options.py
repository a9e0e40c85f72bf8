"""`OnnxOptions`: the options of `converter onnx`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from converter.architectures import PROFILES
from converter.backends.onnx.precision import OF_DTYPE, OF_QUANTIZE, PRECISIONS, Quantize
from converter.core.records import HIDDEN, AccuracyRequirement, Options, Tier

OPSETS = range(18, 26)
"""What torch 2.13 with onnxscript 0.7 writes without the lossy converter of the C API (measured)."""

Optimize = Literal["none", "cpu", "cuda"]
"""What a graph is fused for."""


def _names(value: Any) -> Any:
    """`fp32,q8` as names, each once."""
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        return names
    names = [OF_QUANTIZE.get(name, name) for name in names]
    wrong = [str(name) for name in names if name not in (*PRECISIONS, CHECKPOINT)]
    if wrong:
        raise PydanticCustomError(
            "precision", "there is no {wrong}; there are: {known}", {"wrong": wrong[0], "known": ", ".join((*PRECISIONS, CHECKPOINT))}
        )
    if CHECKPOINT in names and len(names) > 1:
        raise PydanticCustomError("precision", "checkpoint stands alone: no other precision is made of the checkpoint's own type")
    return names


CHECKPOINT = "checkpoint"
"""The precision of an artifact in the checkpoint's own floating point type."""
_NAME = {"type": "string", "enum": [*PRECISIONS, "int8", CHECKPOINT]}
_Choice = Literal["fp32", "fp16", "bf16", "q8", "int8-static", "w8", "q4", "q4f16", "checkpoint"]
_Names = Annotated[
    tuple[_Choice, ...],
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
        "hub",
        description="File names and inputs: as transformers.js, optimum and sentence-transformers load them (hub), or as transformers.onnx "
        "had them (documented, which is the default with a configuration of your own).",
    )

    optimize: Optimize = Field(
        "none",
        description="What the graph is fused for: cpu, what ONNX Runtime's kernels for a CPU were measured to be faster with (tokens kept "
        "as rows from layer to layer, products that read heads as they lie); cuda, the operators of its own that it has CUDA kernels for "
        "(Attention, SkipLayerNormalization, BiasGelu), validated on a CPU, where they are slower.",
    )
    precision: _Names = Field(  # type: ignore[assignment]
        ("fp32",),
        examples=["fp32,fp16,q8,q4"],
        description=f"One or more of {', '.join(PRECISIONS)}, by commas, from one capture; or checkpoint, its own floating point type.",
    )
    dtype: Literal["float32", "float16", "bfloat16", "checkpoint", "fp32", "fp16", "bf16"] | None = Field(  # type: ignore[assignment]
        None, exclude=True, json_schema_extra=HIDDEN, description="See precision."
    )
    quantize: Quantize | None = Field(None, exclude=True, json_schema_extra=HIDDEN, description="See precision.")
    variants: _Names = Field((), exclude=True, json_schema_extra=HIDDEN, description="See precision.")
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

    aliases: ClassVar[Mapping[str, Mapping[str, str]]] = {"dtype": OF_DTYPE, "quantize": OF_QUANTIZE, "variants": {}}

    @property
    def accuracy_requirement(self) -> AccuracyRequirement:
        return AccuracyRequirement(tier=self.tier, text=self.text, evaluate=self.evaluate)

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions of its files, each once, in the order of their table; that of the checkpoint's own type is called fp32."""
        return tuple(name for name in PRECISIONS if name in self.precision or (name == "fp32" and CHECKPOINT in self.precision))

    @classmethod
    def dependent_defaults(cls, options: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"profile": "documented"} if options.get("config") else {}

    @classmethod
    def precision_of(cls, alias: str, value: Any) -> Any:
        return value if alias == "variants" else super().precision_of(alias, value)

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
