"""GPT Neo: GPT-2's interface over layers that attend globally and within a window in turn."""

from __future__ import annotations

from converter.architectures.architecture import Architecture
from converter.architectures.gpt2 import GPT2OnnxConfig


class GPTNeoOnnxConfig(GPT2OnnxConfig):
    pass


ARCHITECTURE = Architecture(
    name="GPT Neo",
    model_type="gpt_neo",
    features=("default", "default-with-past", "causal-lm", "causal-lm-with-past", "sequence-classification"),
    onnx_config=GPTNeoOnnxConfig,
)
