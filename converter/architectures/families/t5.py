"""T5: an encoder and a decoder with relative positions."""

from __future__ import annotations

from collections.abc import Mapping

from converter.architectures.architecture import Architecture
from converter.architectures.features import Axes
from converter.architectures.seq2seq_config import OnnxSeq2SeqConfigWithPast


class T5OnnxConfig(OnnxSeq2SeqConfigWithPast):
    @property
    def positions(self) -> None:
        """None, because positions are relative: a length in config.json is not a limit."""
        return

    @property
    def inputs(self) -> Mapping[str, Axes]:
        source, target = "encoder_sequence", "decoder_sequence"
        if self.use_past:
            source, target = "past_encoder_sequence + sequence", "past_decoder_sequence + sequence"
        inputs: dict[str, Axes] = {
            "input_ids": {0: "batch", 1: "encoder_sequence"},
            "attention_mask": {0: "batch", 1: source},
            "decoder_input_ids": {0: "batch", 1: "decoder_sequence"},
            "decoder_attention_mask": {0: "batch", 1: target},
        }
        if self.use_past:
            self.fill_with_past_key_values_(inputs, direction="inputs")
        return inputs


ARCHITECTURE = Architecture(
    name="T5",
    model_type="t5",
    features=("default", "default-with-past", "seq2seq-lm", "seq2seq-lm-with-past"),
    onnx_config=T5OnnxConfig,
)
