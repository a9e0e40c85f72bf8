"""I-BERT: RoBERTa's interface, computed in integers where it is quantised."""

from __future__ import annotations

from converter.architectures.config import Architecture
from converter.architectures.roberta import RobertaOnnxConfig


class IBertOnnxConfig(RobertaOnnxConfig):
    pass


ARCHITECTURE = Architecture(
    name="I-BERT",
    model_type="ibert",
    features=("default", "masked-lm", "sequence-classification", "multiple-choice", "token-classification", "question-answering"),
    onnx_config=IBertOnnxConfig,
)
