"""`OnnxOptions`: the options of `converter onnx`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from converter.architectures import PROFILES
from converter.backends.onnx.precision import OF_DTYPE, OF_QUANTIZE, PRECISIONS, Name, Quantize
from converter.core.records import AccuracyRequirement, Options, Tier

OPSETS = range(18, 26)
"""What torch 2.13 with onnxscript 0.7 writes without the lossy converter of the C API (measured)."""

Optimize = Literal["none", "cpu", "cuda"]
"""What a graph is fused for."""


def _names(value: Any) -> Any:
    """`fp32,q8` as names, each once."""
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    names = [OF_QUANTIZE.get(name, name) for name in names] if isinstance(names, list | tuple) else names
    wrong = [str(name) for name in names if name not in PRECISIONS] if isinstance(names, list) else []
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
    def accuracy_requirement(self) -> AccuracyRequirement:
        return AccuracyRequirement(tier=self.tier, text=self.text, evaluate=self.evaluate)

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
