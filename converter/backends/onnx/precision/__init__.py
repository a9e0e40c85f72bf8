"""The precisions of ONNX artifacts as data. The modules beside make them, and their accuracy drop is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Name = Literal["fp32", "fp16", "bf16", "q8", "int8-static", "w8", "q4", "q4f16"]
Quantize = Literal["int8", "int8-static", "w8", "q4", "q4f16"]
Method = Literal["dynamic", "static", "weights"]

BLOCK = 32
"""Weights along the inner axis of a product that share a scale: the smallest that MatMulNBits takes but 16, and the most exact."""


@dataclass(frozen=True, kw_only=True)
class Precision:
    """A precision: `suffix` comes before `.onnx` in the file's name, as transformers.js expects it.

    `floats` is the type of its floating point tensors. `method` is the quantization of products with weights to `bits`: ranges of
    activations per call (dynamic), calibrated ranges (static), or weights only. Layers that are left out have weights of
    `fallback_bits`, in blocks, or of type `floats` for 32. `computed` describes the types of the computation.
    """

    name: Name
    suffix: str
    floats: Literal["float32", "float16", "bfloat16"] = "float32"
    method: Method | None = None
    bits: int = 32
    fallback_bits: int = 32
    computed: str

    def file(self, name: str) -> str:
        """The name in this precision of the float32 file `name`."""
        return f"{name.removesuffix('.onnx')}{self.suffix}.onnx"


_HALF = "float16, or float32 if the runtime has no kernel for it; norms, inputs and outputs are float32"

PRECISIONS: Mapping[str, Precision] = {
    precision.name: precision
    for precision in (
        Precision(name="fp32", suffix="", computed="float32"),
        Precision(name="fp16", suffix="_fp16", floats="float16", computed=_HALF),
        Precision(name="bf16", suffix="_bf16", floats="bfloat16", computed="float32, to which the stored weights are widened"),
        Precision(
            name="q8",
            suffix="_quantized",
            method="dynamic",
            bits=8,
            fallback_bits=8,
            computed="products with weights in int8, by a scale a channel, with activations in uint8, whose range is found at each call; "
            "all else in float32",
        ),
        Precision(
            name="int8-static",
            suffix="_int8",
            method="static",
            bits=8,
            fallback_bits=8,
            computed="products with weights as of int8 weights, by a scale a channel, and uint16 activations, whose range was found by "
            "calibration; all else in float32",
        ),
        Precision(
            name="w8",
            suffix="_w8",
            method="weights",
            bits=8,
            computed=f"products with weights of 8 bits, by a scale for {BLOCK} of them, with activations that the runtime may round to "
            "int8 in as many; all else in float32",
        ),
        Precision(
            name="q4",
            suffix="_q4",
            method="weights",
            bits=4,
            fallback_bits=8,
            computed=f"products with weights of 4 bits, by a scale for {BLOCK} of them, with activations that the runtime may round to "
            "int8 in as many; all else in float32",
        ),
        Precision(
            name="q4f16",
            suffix="_q4f16",
            floats="float16",
            method="weights",
            bits=4,
            fallback_bits=8,
            computed=f"products with weights of 4 bits, by a scale for {BLOCK} of them; all else in {_HALF}",
        ),
    )
}

OF_DTYPE: Mapping[str, str] = {
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "fp32": "fp32",
    "fp16": "fp16",
    "bf16": "bf16",
    "checkpoint": "checkpoint",
}
"""Which precision the hidden option `dtype` stands for."""

OF_QUANTIZE: Mapping[str, Name] = {"int8": "q8", "int8-static": "int8-static", "w8": "w8", "q4": "q4", "q4f16": "q4f16"}
"""Which precision the hidden option `quantize` stands for."""
