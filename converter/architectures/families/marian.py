"""Marian: BART's architecture with sinusoidal positions, for translation."""

from __future__ import annotations

from converter.architectures.architecture import Architecture
from converter.architectures.families.bart import BartOnnxConfig


class MarianOnnxConfig(BartOnnxConfig):
    @property
    def atol_for_validation(self) -> float:
        return 1e-4


ARCHITECTURE = Architecture(
    name="Marian",
    model_type="marian",
    features=("default", "default-with-past", "seq2seq-lm", "seq2seq-lm-with-past", "causal-lm", "causal-lm-with-past"),
    onnx_config=MarianOnnxConfig,
)
