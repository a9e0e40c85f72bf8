"""The names of the files of an encoder and a decoder, and of what passes between them."""

from __future__ import annotations

from collections.abc import Mapping

ENCODER_FILE, DECODER_FILE = "encoder_model.onnx", "decoder_model_merged.onnx"
"""An encoder, and a decoder for its first call and all others: as transformers.js and optimum call them."""

LAYOUTS: tuple[tuple[str, ...], ...] = (("model.onnx",), (ENCODER_FILE, DECODER_FILE))
"""The files of an artifact in float32, in the order of their calls."""

STATES = "last_hidden_state"
"""The output of the encoder's file."""

TAKES: Mapping[str, str] = {
    "encoder_attention_mask": "attention_mask",
    "input_ids": "decoder_input_ids",
    "encoder_hidden_states": STATES,
}
"""The decoder file's names for the model's inputs and the encoder's outputs, if different."""
