"""RoBERTa: positions count from the padding index, which the checkpoint's position table has to hold too."""

from __future__ import annotations

from converter.architectures.architecture import Architecture
from converter.architectures.config import TextOnnxConfig


class RobertaOnnxConfig(TextOnnxConfig):
    @property
    def positions(self) -> int | None:
        """The first token's position is `pad_token_id + 1`, so the table's first rows are never a token's."""
        rows = super().positions
        return rows and rows - int(self._config.pad_token_id) - 1


ARCHITECTURE = Architecture(
    name="RoBERTa",
    model_type="roberta",
    features=(
        "default",
        "masked-lm",
        "causal-lm",
        "sequence-classification",
        "multiple-choice",
        "token-classification",
        "question-answering",
    ),
    onnx_config=RobertaOnnxConfig,
)
