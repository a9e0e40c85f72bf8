"""BERT: token type ids beside the tokens and their mask."""

from __future__ import annotations

from collections.abc import Mapping

from converter.architectures.architecture import Architecture
from converter.architectures.config import TextOnnxConfig
from converter.architectures.features import Axes


class BertOnnxConfig(TextOnnxConfig):
    @property
    def inputs(self) -> Mapping[str, Axes]:
        inputs = super().inputs
        return {**inputs, "token_type_ids": inputs["input_ids"]}


ARCHITECTURE = Architecture(
    name="BERT",
    model_type="bert",
    features=(
        "default",
        "masked-lm",
        "causal-lm",
        "sequence-classification",
        "multiple-choice",
        "token-classification",
        "question-answering",
    ),
    onnx_config=BertOnnxConfig,
)
