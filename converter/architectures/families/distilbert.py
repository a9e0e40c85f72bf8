"""DistilBERT: BERT without token types, and without a causal head."""

from __future__ import annotations

from converter.architectures.architecture import Architecture
from converter.architectures.config import TextOnnxConfig


class DistilBertOnnxConfig(TextOnnxConfig):
    pass


ARCHITECTURE = Architecture(
    name="DistilBERT",
    model_type="distilbert",
    features=(
        "default",
        "masked-lm",
        "sequence-classification",
        "multiple-choice",
        "token-classification",
        "question-answering",
    ),
    onnx_config=DistilBertOnnxConfig,
)
