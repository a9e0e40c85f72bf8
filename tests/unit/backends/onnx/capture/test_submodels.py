"""The files of an export, and their inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from converter.architectures import PROFILES, OnnxConfig, find_architecture, in_profile
from converter.backends.onnx.capture.submodels import submodels
from converter.checkpoints.loading import LoadedModel
from converter.checkpoints.sample_inputs import inputs_at, sample
from converter.core.records import SubmodelSignature
from tests.coverage.tiny import tiny_config, tiny_model

T5, WHISPER = ("t5", "seq2seq-lm-with-past"), ("whisper", "automatic-speech-recognition-with-past")


def configuration(model_type: str, feature: str, profile: str = "hub") -> OnnxConfig:
    architecture = find_architecture(model_type)
    changed = replace(architecture, onnx_config=in_profile(architecture.onnx_config, PROFILES[profile], ()))
    return changed.configure(tiny_config(model_type), feature)


def test_a_model_in_the_documented_profile_is_one_file() -> None:
    config = configuration(*T5, profile="documented")
    (submodel,) = submodels(config)
    assert (submodel.file, submodel.inputs, submodel.outputs) == ("model.onnx", config.inputs, config.outputs)


def test_an_encoder_and_a_decoder_take_what_the_clients_of_the_hub_give_them() -> None:
    encoder, decoder = submodels(configuration(*T5))
    assert (encoder.file, decoder.file) == ("encoder_model.onnx", "decoder_model_merged.onnx")
    assert [*encoder.inputs] == ["input_ids", "attention_mask"]
    assert [*encoder.outputs] == ["last_hidden_state"]
    names = [name for name in decoder.inputs if not name.startswith("past_key_values.")]
    assert names == ["encoder_attention_mask", "input_ids", "encoder_hidden_states"]
    assert decoder.inputs["input_ids"] == {0: "batch_size", 1: "decoder_sequence"}


def test_a_sound_has_no_mask_and_its_encoder_gives_one_length() -> None:
    encoder, decoder = submodels(configuration(*WHISPER))
    assert [*encoder.inputs] == ["input_features"]
    assert decoder.inputs["encoder_hidden_states"] == encoder.outputs["last_hidden_state"] == {0: "batch_size"}
    assert "encoder_attention_mask" not in decoder.inputs
    assert decoder.outputs["present.0.encoder.key"] == {0: "batch_size"}


@pytest.mark.parametrize(("model_type", "feature"), [T5, WHISPER, ("nllb-moe", "seq2seq-lm-with-past")])
def test_the_files_called_in_their_order_are_the_whole_model_at_its_first_call(model_type: str, feature: str) -> None:
    config = configuration(model_type, feature)
    kind = find_architecture(model_type).auto_class(feature)
    model = LoadedModel(tiny_model(model_type, kind))
    size = config.size(2, 3, 1)
    whole, tensors = sample(model, config, replace(size, cached_source=0))
    known = dict(zip(config.inputs, tensors, strict=True))
    with torch.no_grad():
        expected = whole(*tensors)
        for submodel in submodels(config):
            arguments = [known[submodel.takes.get(name, name)] for name in submodel.inputs]
            results = submodel.flat(model.module, whole)(*arguments)
            known |= dict(zip(submodel.outputs, results, strict=True))
    torch.testing.assert_close(tuple(results), tuple(expected))


def test_the_record_of_a_part_says_what_it_takes_by_another_name() -> None:
    submodel = SubmodelSignature(file="a.onnx", inputs=("x",), outputs=("y",), takes={"x": "z"})
    assert SubmodelSignature.model_validate_json(submodel.model_dump_json()) == submodel


def test_a_part_is_given_what_the_encoder_gives() -> None:
    config = configuration(*T5)
    model = LoadedModel(tiny_model("t5", "AutoModelForSeq2SeqLM"))
    tensors = inputs_at(config, "float32", None, np.random.default_rng(0), config.size(2, 3, 1))
    encoder, decoder = submodels(config)
    (states,) = encoder.flat(model.module, model.module)(*encoder.arguments(model.module, config, tensors))
    arguments = dict(zip(decoder.inputs, decoder.arguments(model.module, config, tensors), strict=True))
    torch.testing.assert_close(arguments["encoder_hidden_states"], states)
