"""A run without weights finds a model's inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import transformers

from converter.architectures import GenericOnnxConfig, find_architecture
from converter.architectures.size import Size
from converter.core.errors import NotSupportedError
from tests.coverage.tiny import tiny_config

TOKENS = {0: "batch", 1: "sequence"}
SOURCE = {0: "batch", 1: "encoder_sequence"}
TARGET = {0: "batch", 1: "decoder_sequence"}
BATCH = {0: "batch"}
CHOICES = {0: "batch", 1: "choice", 2: "sequence"}


def generic(model_type: str, feature: str, **settings: Any) -> GenericOnnxConfig:
    config = tiny_config(model_type)
    for name, value in settings.items():
        setattr(config, name, value)
    task = feature.removesuffix("-with-past")
    return GenericOnnxConfig(config, task=task, use_past=task != feature)


@pytest.mark.parametrize(
    ("model_type", "feature", "inputs", "outputs"),
    [
        ("electra", "masked-lm", dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), TOKENS), {"logits": TOKENS}),
        ("mpnet", "default", dict.fromkeys(("input_ids", "attention_mask"), TOKENS), {"last_hidden_state": TOKENS}),
        (
            "albert",
            "multiple-choice",
            dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), CHOICES),
            {"logits": {0: "batch", 1: "choice"}},
        ),
        (
            "m2m_100",
            "seq2seq-lm",
            {"input_ids": SOURCE, "attention_mask": SOURCE, "decoder_input_ids": TARGET, "decoder_attention_mask": TARGET},
            {"logits": TARGET},
        ),
        ("vit", "image-classification", {"pixel_values": BATCH}, {"logits": BATCH}),
        ("resnet", "image-classification", {"pixel_values": {0: "batch", 2: "height", 3: "width"}}, {"logits": BATCH}),
        (
            "clip",
            "zero-shot-image-classification",
            {"input_ids": TOKENS, "pixel_values": {0: "image_batch"}, "attention_mask": TOKENS},
            {
                "logits_per_image": {0: "image_batch", 1: "batch"},
                "logits_per_text": {0: "batch", 1: "image_batch"},
                "text_embeds": BATCH,
                "image_embeds": {0: "image_batch"},
            },
        ),
        (
            "detr",
            "object-detection",
            {"pixel_values": {0: "batch", 2: "height", 3: "width"}, "pixel_mask": {0: "batch", 1: "height", 2: "width"}},
            {"logits": BATCH, "pred_boxes": BATCH},
        ),
        (
            "segformer",
            "semantic-segmentation",
            {"pixel_values": {0: "batch", 2: "height", 3: "width"}},
            {"logits": {0: "batch", 2: "logits_axis_2", 3: "logits_axis_3"}},
        ),
        (
            "wav2vec2",
            "automatic-speech-recognition",
            {"input_values": {0: "batch", 1: "samples"}},
            {"logits": {0: "batch", 1: "logits_axis_1"}},
        ),
        (
            "whisper",
            "automatic-speech-recognition",
            {"input_features": BATCH, "decoder_input_ids": TARGET, "decoder_attention_mask": TARGET},
            {"logits": TARGET},
        ),
        ("audio-spectrogram-transformer", "audio-classification", {"input_values": BATCH}, {"logits": BATCH}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_inputs_and_outputs_have_the_axes_that_vary(
    model_type: str, feature: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]
) -> None:
    config = generic(model_type, feature)
    assert {name: dict(axes) for name, axes in config.inputs.items()} == inputs
    assert list(config.inputs) == list(inputs)
    assert dict(config.outputs) == outputs


def test_a_cache_has_the_heads_and_features_of_the_models_keys_and_values() -> None:
    config = generic("llama", "causal-lm-with-past")
    heads, features = tiny_config("llama").num_key_value_heads, tiny_config("llama").head_dim
    assert heads < tiny_config("llama").num_attention_heads
    assert config.fixed_dims("past_key_values.1.value") == {1: heads, 3: features}
    assert config.inputs["attention_mask"] == {0: "batch", 1: "past_sequence + sequence"}
    assert config.inputs["past_key_values.0.key"] == {0: "batch", 2: "past_sequence"}
    assert config.outputs["present.1.value"] == {0: "batch", 2: "past_sequence + sequence"}


def test_the_cache_beside_an_encoder_has_both() -> None:
    config = generic("m2m_100", "seq2seq-lm-with-past")
    assert config.inputs["past_key_values.0.decoder.key"] == {0: "batch", 2: "past_decoder_sequence"}
    assert config.inputs["past_key_values.0.encoder.value"] == {0: "batch", 2: "past_encoder_sequence"}
    assert config.encoded_length is None


def test_of_an_image_or_a_sound_the_cache_holds_all_or_nothing() -> None:
    config = generic("whisper", "automatic-speech-recognition-with-past")
    length = tiny_config("whisper").max_source_positions
    assert config.encoded_length == length
    full, empty = (config.axis_lengths(Size(source=8, cached_source=held)) for held in (8, 0))
    assert (full["past_encoder_sequence"], empty["past_encoder_sequence"]) == (length, 0)


@pytest.mark.parametrize(
    ("model_type", "feature", "message"),
    [
        ("electra", "causal-lm-with-past", "this electra returns no cache of transformers' own"),
        # from transformers 5.24 on its states are called a cache too
        ("mamba", "causal-lm-with-past", "(this mamba gives no cache|the cache of mamba is not of keys and values)"),
        ("bamba", "causal-lm-with-past", r"the cache of bamba is not of keys and values in each layer"),
    ],
)
def test_a_cache_that_cannot_go_in_and_out_is_told(model_type: str, feature: str, message: str) -> None:
    config = generic(model_type, feature)
    with pytest.raises(NotSupportedError, match=message) as caught:
        _ = config.inputs
    assert caught.value.hint == f"export it as {feature.removesuffix('-with-past')}"


def test_a_model_whose_inputs_are_not_known_is_told_with_what_to_do() -> None:
    with pytest.raises(
        NotSupportedError, match="the inputs of this AutoModel have no dedicated configuration, and inferring them failed"
    ) as caught:
        _ = generic("lxmert", "default").inputs
    assert "--config" in caught.value.hint


def test_a_configuration_that_transformers_makes_no_model_of_is_told() -> None:
    with pytest.raises(NotSupportedError, match=r"transformers makes no AutoModel of this config\.json"):
        _ = generic("llama", "default", hidden_act="nobody's").inputs


def test_a_model_that_mixes_devices_is_run_with_fake_tensors() -> None:
    assert generic("deformable_detr", "object-detection").outputs == {"logits": BATCH, "pred_boxes": BATCH}


def test_no_memory_is_taken_for_a_model_however_large() -> None:
    config = transformers.LlamaConfig(hidden_size=8192, num_hidden_layers=4, intermediate_size=65536, num_attention_heads=64)
    assert list(GenericOnnxConfig(config, task="causal-lm").inputs) == ["input_ids", "attention_mask"]


def test_positions_that_are_no_tokens_are_not_counted() -> None:
    assert generic("mpnet", "default").positions == tiny_config("mpnet").max_position_embeddings - tiny_config("mpnet").pad_token_id - 1
    assert generic("electra", "default").positions == tiny_config("electra").max_position_embeddings


def test_a_text_of_a_hundred_thousand_positions_is_tried_at_512() -> None:
    config = generic("llama", "causal-lm", max_position_embeddings=131_072)
    assert (config.positions, config.max_sequence_length) == (131_072, 512)


@pytest.mark.parametrize("model_type", ["llama", "gemma3"])
def test_a_classifier_without_a_padding_token_is_asked_and_left_without_one(model_type: str) -> None:
    settings = tiny_config(model_type)
    settings.get_text_config().pad_token_id = None
    config = GenericOnnxConfig(settings, task="sequence-classification")
    assert config.outputs == {"logits": {0: "batch"}}
    assert settings.get_text_config().pad_token_id is None


@pytest.mark.parametrize("model_type", ["dinov2", "yolos"])
def test_a_family_says_only_what_differs(model_type: str) -> None:
    config = find_architecture(model_type).configure(tiny_config(model_type), "default")
    assert config.inputs["pixel_values"] == {0: "batch", 2: "height", 3: "width"}
    assert generic(model_type, "default").inputs["pixel_values"] == {0: "batch"}


def test_the_model_that_shares_the_configuration_keeps_its_attention_and_its_experts() -> None:
    config = tiny_config("mixtral")
    model = transformers.AutoModelForCausalLM.from_config(config)
    chosen = model.config._attn_implementation, model.config._experts_implementation
    assert GenericOnnxConfig(model.config, task="causal-lm").outputs
    assert (model.config._attn_implementation, model.config._experts_implementation) == chosen
    assert chosen[0] == "sdpa"
