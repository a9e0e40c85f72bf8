"""GPT-2: a decoder whose classifier reads a text's last token."""

from __future__ import annotations

from collections.abc import Mapping

from converter.architectures.architecture import Architecture
from converter.architectures.config_with_past import OnnxConfigWithPast
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
