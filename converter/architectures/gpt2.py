"""GPT-2: a decoder whose classifier reads the last token that is no padding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converter.architectures.architecture import Architecture
from converter.architectures.config import OnnxConfigWithPast
from converter.architectures.features import Axes


class GPT2OnnxConfig(OnnxConfigWithPast):
    @property
    def inputs(self) -> Mapping[str, Axes]:
        if not self.use_past:
            return {"input_ids": {0: "batch", 1: "sequence"}, "attention_mask": {0: "batch", 1: "sequence"}}
        inputs: dict[str, Axes] = {"input_ids": {0: "batch", 1: "sequence"}}
        self.fill_with_past_key_values_(inputs, direction="inputs")
        inputs["attention_mask"] = {0: "batch", 1: "past_sequence + sequence"}
        return inputs

    @property
    def values_override(self) -> Mapping[str, Any] | None:
        """A classifier without a padding token takes one text at a time; with token 0 for it, as documented, a batch of them."""
        values = {**(super().values_override or {})}
        if self.task == "sequence-classification" and self._config.pad_token_id is None:
            values["pad_token_id"] = 0
        return values


ARCHITECTURE = Architecture(
    name="OpenAI GPT-2",
    model_type="gpt2",
    features=(
        "default",
        "default-with-past",
        "causal-lm",
        "causal-lm-with-past",
        "sequence-classification",
        "token-classification",
    ),
    onnx_config=GPT2OnnxConfig,
)
