"""A profile changes the names in a configuration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from converter.architectures import PROFILES, OnnxConfig, find_architecture, in_profile, is_apart
from converter.architectures.dummies import draw
from converter.architectures.profiles import positions
from converter.architectures.size import Size
from tests.coverage.tiny import tiny_config

pytestmark = pytest.mark.torch  # the configurations of tiny models are transformers'

HUB, DOCUMENTED = PROFILES["hub"], PROFILES["documented"]


def hub(model_type: str, feature: str, *inputs: str) -> OnnxConfig:
    architecture = find_architecture(model_type)
    return replace(architecture, onnx_config=in_profile(architecture.onnx_config, HUB, inputs)).configure(tiny_config(model_type), feature)


def test_in_the_documented_profile_a_configuration_is_what_it_was() -> None:
    onnx_config = find_architecture("gpt2").onnx_config
    assert in_profile(onnx_config, DOCUMENTED, ["position_ids"]) is onnx_config


@pytest.mark.parametrize(
    ("model_type", "feature"),
    [("bert", "masked-lm"), ("gpt2", "causal-lm-with-past"), ("t5", "seq2seq-lm-with-past"), ("vit", "image-classification")],
)
def test_the_axis_of_the_batch_is_called_batch_size(model_type: str, feature: str) -> None:
    config = hub(model_type, feature)
    assert {axes[0] for axes in (*config.inputs.values(), *config.outputs.values())} == {"batch_size"}
    assert config.axis_lengths(Size(batch=7))["batch_size"] == 7


def test_a_causal_language_model_is_told_where_its_tokens_stand_if_its_forward_takes_that() -> None:
    assert "position_ids" in hub("gpt2", "causal-lm-with-past", "position_ids").inputs
    assert "position_ids" in hub("llama", "causal-lm", "position_ids").inputs
    assert "position_ids" not in hub("bloom", "causal-lm-with-past", "input_ids").inputs
    assert "position_ids" not in hub("gpt2", "token-classification", "position_ids").inputs


def test_an_encoder_and_a_decoder_are_apart_where_there_is_a_cache_of_both() -> None:
    assert is_apart(hub("t5", "seq2seq-lm-with-past"))
    assert not is_apart(hub("bart", "causal-lm-with-past"))
    assert not is_apart(hub("gpt2", "causal-lm-with-past"))
    assert not is_apart(find_architecture("t5").configure(tiny_config("t5"), "seq2seq-lm-with-past"))


def test_nothing_that_is_generated_is_masked() -> None:
    inputs = hub("t5", "seq2seq-lm-with-past").inputs
    assert "decoder_attention_mask" not in inputs
    assert inputs["attention_mask"] == inputs["input_ids"] == {0: "batch_size", 1: "encoder_sequence"}


def test_padding_has_no_position_of_its_own() -> None:
    mask = np.array([[0, 0, 1, 1, 1], [1, 1, 1, 0, 1]])
    assert positions(mask, 5).tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 2, 3]]
    assert positions(mask, 2).tolist() == [[1, 2], [2, 3]]


def test_what_is_drawn_has_the_positions_of_its_own_mask() -> None:
    inputs = draw(hub("gpt2", "causal-lm-with-past", "position_ids"), Size(batch=3, sequence=4, past=5), np.random.default_rng(0), "left")
    np.testing.assert_array_equal(inputs["position_ids"], positions(inputs["attention_mask"], 4))
    assert inputs["position_ids"].dtype == np.int64
