"""LayoutLM: BERT's inputs, and where on the page each token stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from converter.architectures.architecture import Architecture
from converter.architectures.families.bert import BertOnnxConfig
from converter.architectures.features import Axes

if TYPE_CHECKING:
    from converter.core.typing import Array


class LayoutLMOnnxConfig(BertOnnxConfig):
    @property
    def inputs(self) -> Mapping[str, Axes]:
        inputs = super().inputs
        axes = inputs["input_ids"]
        return {"input_ids": axes, "bbox": axes, "attention_mask": axes, "token_type_ids": axes}

    def fixed_dims(self, name: str) -> Mapping[int, int]:
        return {2: 4} if name == "bbox" else super().fixed_dims(name)

    def draw(self, name: str, shape: tuple[int, ...], rng: Any) -> Array:
        """Boxes (left, top, right, bottom), whose width and height have embeddings too and so are not negative."""
        if name != "bbox":
            return super().draw(name, shape, rng)
        import numpy as np

        corners: Array = np.sort(rng.integers(0, self._config.max_2d_position_embeddings, (*shape[:-1], 2, 2), dtype=np.int64), axis=-2)
        return corners.reshape(shape)


ARCHITECTURE = Architecture(
    name="LayoutLM",
    model_type="layoutlm",
    features=("default", "masked-lm", "sequence-classification", "token-classification"),
    onnx_config=LayoutLMOnnxConfig,
)
