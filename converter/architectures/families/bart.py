"""BART: an encoder and a decoder, and the decoder alone as a causal language model."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from converter.architectures.architecture import Architecture
from converter.architectures.config_with_past import OnnxConfigWithPast
from converter.architectures.features import Axes
from converter.architectures.seq2seq_config import OnnxSeq2SeqConfigWithPast
from converter.architectures.size import Size

if TYPE_CHECKING:
    from converter.core.typing import Array


class BartOnnxConfig(OnnxSeq2SeqConfigWithPast):
    @property
    def inputs(self) -> Mapping[str, Axes]:
        inputs: dict[str, Axes] = {
            "input_ids": {0: "batch", 1: "encoder_sequence"},
            "attention_mask": {0: "batch", 1: "encoder_sequence"},
        }
        if self._decoder_alone:
            if self.use_past:
                inputs["attention_mask"] = {0: "batch", 1: "past_sequence + sequence"}
        else:
            mask = "past_decoder_sequence + sequence" if self.use_past else "decoder_sequence"
            inputs["decoder_input_ids"] = {0: "batch", 1: "decoder_sequence"}
            inputs["decoder_attention_mask"] = {0: "batch", 1: mask}
        if self.use_past:
            self.fill_with_past_key_values_(inputs, direction="inputs")
        return inputs

    @property
    def outputs(self) -> Mapping[str, Axes]:
        if self.task in ("default", "seq2seq-lm"):
            return super().outputs
        return super(OnnxSeq2SeqConfigWithPast, self).outputs

    @property
    def _decoder_alone(self) -> bool:
        return self.task == "causal-lm"

    def fill_with_past_key_values_(self, inputs_or_outputs: MutableMapping[str, Axes], direction: Literal["inputs", "outputs"]) -> None:
        if self._decoder_alone:
            OnnxConfigWithPast.fill_with_past_key_values_(self, inputs_or_outputs, direction)
        else:
            super().fill_with_past_key_values_(inputs_or_outputs, direction)

    def axis_lengths(self, size: Size) -> Mapping[str, int]:
        if self._decoder_alone:
            size = replace(size, source=size.sequence)  # the row's name for the decoder's own tokens is "encoder_sequence"
        if self.task == "sequence-classification":
            size = replace(size, sequence=size.source)  # the label is read at the end of the encoder's input, in the decoder's output
        return super().axis_lengths(size)

    def settle(self, inputs: MutableMapping[str, Array]) -> None:
        """A classified text ends in the end-of-sequence token, and has no other."""
        if self.task != "sequence-classification":
            return
        end, tokens, mask = self._config.eos_token_id, inputs["input_ids"], inputs["attention_mask"]
        tokens[tokens == end] = next(token for token in range(3) if token not in (end, self.pad_token_id))
        for row, kept in zip(tokens, mask, strict=True):
            row[kept.nonzero()[0][-1]] = end


ARCHITECTURE = Architecture(
    name="BART",
    model_type="bart",
    features=(
        "default",
        "default-with-past",
        "causal-lm",
        "causal-lm-with-past",
        "seq2seq-lm",
        "seq2seq-lm-with-past",
        "sequence-classification",
        "question-answering",
    ),
    onnx_config=BartOnnxConfig,
)
