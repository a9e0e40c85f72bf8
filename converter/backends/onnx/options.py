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
"""Opsets that torch 2.13 with onnxscript 0.7 writes without the lossy converter of the C API (measured)."""

Optimize = Literal["none", "cpu", "cuda"]
"""The target of fusions."""


def _names(value: Any) -> Any:
    """`fp32,q8` as names, without duplicates."""
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        return names
    names = [OF_QUANTIZE.get(name, name) for name in names]
    wrong = [str(name) for name in names if name not in (*PRECISIONS, CHECKPOINT)]
    if wrong:
        raise PydanticCustomError(
            "precision", "unknown precision {wrong}; known: {known}", {"wrong": wrong[0], "known": ", ".join((*PRECISIONS, CHECKPOINT))}
        )
    if CHECKPOINT in names and len(names) > 1:
        raise PydanticCustomError("precision", "checkpoint cannot be combined with other precisions")
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
        description="ONNX operator set (default: the exporter's recommendation).",
    )
    weights: Literal["embedded", "shared"] = Field(
        "embedded",
        description="Location of the weights: in the ONNX file, or shared with the checkpoint's safetensors beside it.",
    )

    profile: Literal["documented", "hub"] = Field(
        "hub",
        description="File names and inputs: hub, for transformers.js, optimum and sentence-transformers; or documented, "
        "as in transformers.onnx (default with a custom configuration).",
    )

    optimize: Optimize = Field(
        "none",
        description="Fusions: cpu for ONNX Runtime's CPU kernels, same numbers; cuda for its CUDA operators (Attention, "
        "SkipLayerNormalization, BiasGelu), validated on a CPU.",
    )
    precision: _Names = Field(  # type: ignore[assignment]
        ("fp32",),
        examples=["fp32,fp16,q8,q4"],
        description=f"One or more of {', '.join(PRECISIONS)}, separated by commas; or checkpoint, its own floating point type.",
    )
    dtype: Literal["float32", "float16", "bfloat16", "checkpoint", "fp32", "fp16", "bf16"] | None = Field(  # type: ignore[assignment]
        None, exclude=True, json_schema_extra=HIDDEN, description="See precision."
    )
    quantize: Quantize | None = Field(None, exclude=True, json_schema_extra=HIDDEN, description="See precision.")
    variants: _Names = Field((), exclude=True, json_schema_extra=HIDDEN, description="See precision.")
    tier: Tier = Field(
        "lossy",
        description="Maximum accuracy drop of a variant: near-lossless, lossy or any.",
    )
    text: str | None = Field(
        None,
        min_length=1,
        description="File with your own texts, one per line, to calibrate, choose and measure with (default: English sentences).",
    )
    evaluate: str | None = Field(
        None,
        pattern=r"^([\w.]+|.+\.py):[A-Za-z_]\w*$",
        description="Custom metric, `module:function` or `my_metric.py:function`. It is run.",
    )

    aliases: ClassVar[Mapping[str, Mapping[str, str]]] = {"dtype": OF_DTYPE, "quantize": OF_QUANTIZE, "variants": {}}

    @property
    def accuracy_requirement(self) -> AccuracyRequirement:
        return AccuracyRequirement(tier=self.tier, text=self.text, evaluate=self.evaluate)

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions of the files, in the order of their table; the checkpoint's own type counts as fp32."""
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
            raise PydanticCustomError("profile", "a custom configuration defines its own files; leave profile out")
        return profile

    @field_validator("opset")
    @classmethod
    def _can_be_made(cls, opset: int | None) -> int | None:
        """Refuse an impossible opset with the whole range; pydantic would name one bound only."""
        if opset is not None and opset not in OPSETS:
            raise PydanticCustomError("opset", f"choose an opset from {OPSETS.start} to {OPSETS.stop - 1}")
        return opset
