"""`OnnxSeq2SeqConfigWithPast`: an encoder and a decoder, with a cache of both."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from typing import Literal

from converter.architectures.config_with_past import OnnxConfigWithPast, decoder_part
from converter.architectures.features import Axes
from converter.architectures.size import Size


class OnnxSeq2SeqConfigWithPast(OnnxConfigWithPast, ABC):
    """An encoder and a decoder; the cache has the decoder's own keys and values, and others of the encoder's output.

    An exported model with a cache encodes the part of `input_ids` that the cache lacks: everything at the first call, with an empty
    cache, and nothing later.
    """

    @property
    def outputs(self) -> Mapping[str, Axes]:
        return {name: axes if name.startswith("present.") else self._of_new_tokens(axes) for name, axes in super().outputs.items()}

    def _of_new_tokens(self, axes: Axes) -> Axes:
        """The axes of an output, which has something for each of the decoder's tokens."""
        named = {axis: "decoder_sequence" if "sequence" in label else label for axis, label in axes.items()}
        return {axis: label for axis, label in named.items() if not (self._one_token and label == "decoder_sequence")}

    @property
    def _one_token(self) -> bool:
        """Whether the decoder takes one token at a time, as the documented classes had it with a cache."""
        return self.use_past and 1 not in self.inputs.get("decoder_input_ids", {1: ""})

    def axis_lengths(self, size: Size) -> Mapping[str, int]:
        return super().axis_lengths(replace(size, sequence=1) if self._one_token else size)

    @property
    def num_layers(self) -> tuple[int, int]:
        """How many layers the encoder and the decoder have."""
        encoder = getattr(self._config, "encoder_layers", None) or self._config.num_hidden_layers
        decoder = getattr(self._config, "decoder_layers", None) or getattr(self._config, "num_decoder_layers", None) or encoder
        return encoder, decoder

    @property
    def num_attention_heads(self) -> tuple[int, int]:
        """How many heads the encoder and the decoder have."""
        heads = self._config.num_attention_heads
        return getattr(self._config, "encoder_attention_heads", heads), getattr(self._config, "decoder_attention_heads", heads)

    @property
    def vocab_sizes(self) -> Mapping[str, int]:
        sizes = super().vocab_sizes
        return {**sizes, "decoder_input_ids": getattr(self._config, "decoder_vocab_size", None) or self._config.vocab_size}

    def fill_with_past_key_values_(self, inputs_or_outputs: MutableMapping[str, Axes], direction: Literal["inputs", "outputs"]) -> None:
        """Add the cache's tensors, in order: (batch, heads, tokens, head size) each, for each layer of the decoder.

        The documented classes called the outputs' encoder axis "past_encoder_sequence" too, which is empty at the first call.
        """
        name, decoder, encoder = "past_key_values", "past_decoder_sequence", "past_encoder_sequence"
        if direction == "outputs":
            name, decoder, encoder = "present", "past_decoder_sequence + sequence", "encoder_sequence"
        for layer in range(decoder_part(self.num_layers)):
            for stack, axis in (("decoder", decoder), ("encoder", encoder)):
                for part in ("key", "value"):
                    inputs_or_outputs[f"{name}.{layer}.{stack}.{part}"] = {0: "batch", 2: axis}

    def size(self, batch: int, sequence: int, choice: int) -> Size:
        size = Size(batch=batch, sequence=sequence, choice=choice, source=sequence + 2)
        # the cache holds a part of the source, which it never does in use: so nothing is captured that is true of all or of nothing
        return replace(size, past=sequence + 3, cached_source=max(1, sequence // 2)) if self.use_past else size

    def fixed_dims(self, name: str) -> Mapping[int, int]:
        return {1: 1} if name == "decoder_input_ids" and self._one_token else super().fixed_dims(name)
