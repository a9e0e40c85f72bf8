"""The configuration by which onnxruntime-genai loads a decoder."""

from __future__ import annotations

import json
from typing import Any

import pytest
from transformers import GenerationConfig, GPT2Config

from converter.backends.onnx.clients.onnxruntime_genai import genai_config
from converter.core.records import Signature, TensorSpec

SETTINGS = GPT2Config(n_embd=32, n_layer=2, n_head=4)


def spec(name: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=shape)


def cache(name: str, layers: int = 2, heads: int | str = 4) -> list[TensorSpec]:
    return [spec(f"{name}.{layer}.{part}", "batch_size", heads, "past", 8) for layer in range(layers) for part in ("key", "value")]


TEXT = [spec(name, "batch_size", "sequence") for name in ("input_ids", "attention_mask", "position_ids")]
LOGITS = [spec("logits", "batch_size", "sequence", 120)]


def made(inputs: list[TensorSpec], outputs: list[TensorSpec], **tokens: Any) -> Any:
    signature = Signature(inputs=tuple(inputs), outputs=tuple(outputs))
    content = genai_config(signature, SETTINGS, GenerationConfig(**tokens), 40, "onnx/model.onnx")
    return json.loads(content) if content else None


def test_a_decoder_is_described_by_its_own_graph() -> None:
    model = made([*TEXT, *cache("past_key_values")], [*LOGITS, *cache("present")], eos_token_id=7)["model"]
    decoder = model["decoder"]
    assert (model["vocab_size"], model["context_length"], decoder["filename"]) == (120, 40, "onnx/model.onnx")
    assert (decoder["num_hidden_layers"], decoder["num_key_value_heads"], decoder["head_size"]) == (2, 4, 8)
    assert {"input_ids", "attention_mask", "position_ids"} < {*decoder["inputs"]}


def test_an_input_that_the_graph_has_not_is_not_named() -> None:
    decoder = made([*TEXT[:2], *cache("past_key_values")], [*LOGITS, *cache("present")])["model"]["decoder"]
    assert "position_ids" not in decoder["inputs"]


@pytest.mark.parametrize(("end", "pad"), [(7, 7), ([5, 7], 5), (None, 0)])
def test_what_pads_is_what_ends_where_nothing_else_does(end: Any, pad: int) -> None:
    model = made([*TEXT, *cache("past_key_values")], [*LOGITS, *cache("present")], eos_token_id=end)["model"]
    assert (model.get("eos_token_id"), model["pad_token_id"]) == (end, pad)
    assert None not in model.values()


@pytest.mark.parametrize(
    "inputs",
    [
        TEXT,
        [*TEXT, *(entry.model_copy(update={"name": entry.name.replace(".key", ".decoder.key")}) for entry in cache("past_key_values"))],
        [*TEXT, spec("token_type_ids", "batch_size", "sequence"), *cache("past_key_values")],
        [TEXT[0], *cache("past_key_values")],
        [*TEXT, *cache("past_key_values", heads="heads")],
        [*TEXT, *cache("past_key_values", 1), spec("past_key_values.1.key", "batch_size", 2, "past", 8)],
    ],
    ids=["no cache", "an encoder", "another input", "no mask", "heads of any number", "layers of two kinds"],
)
def test_a_model_that_it_cannot_run_has_none(inputs: list[TensorSpec]) -> None:
    assert made(inputs, [*LOGITS, *cache("present")]) is None
