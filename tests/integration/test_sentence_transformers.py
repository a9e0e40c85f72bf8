"""Repositories in the format of sentence-transformers, made by hand: their files choose the feature."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from converter.core.records import Outcome
from tests.support.checkpoints import save_tiny

Convert = Callable[..., Outcome]
Command = Callable[..., subprocess.CompletedProcess[str]]

TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"
MLM = "sentence_transformers.sparse_encoder.models.MLMTransformer"


def declare(folder: Path, kind: str = TRANSFORMER, architecture: str | None = None, **settings: Any) -> Path:
    """Make a checkpoint's folder a repository of sentence-transformers, whose config.json names `architecture`."""
    modules = [{"idx": 0, "name": "0", "path": "", "type": kind}]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32, **settings}), encoding="utf-8")
    if architecture:
        config = json.loads((folder / "config.json").read_bytes())
        (folder / "config.json").write_text(json.dumps({**config, "architectures": [architecture]}), encoding="utf-8")
    return folder


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """The weights of a base model under a config.json that names a masked language model, as in all-mpnet-base-v2."""
    return declare(save_tiny(tmp_path / "encoder", "bert"), architecture="BertForMaskedLM")


@pytest.mark.parametrize("backend", ["onnx", "torchscript"])
def test_an_encoder_is_converted_as_one_whatever_head_config_json_names(encoder: Path, convert: Convert, backend: str) -> None:
    outcome = convert(encoder, backend=backend)
    assert outcome.status == "converted", outcome.failure
    assert outcome.feature == "default"
    assert [note for note in outcome.notes if "modules.json" in note] == [
        "modules.json says that the model is loaded for feature-extraction, so it is converted for that, though config.json names "
        "BertForMaskedLM"
    ]
    again = convert(encoder, backend=backend)
    assert (again.status, again.feature) == ("skipped", "default")
    assert any("modules.json" in note for note in again.notes)


def test_a_head_that_is_asked_for_and_not_there_is_an_error_that_names_the_feature_without_one(encoder: Path, command: Command) -> None:
    refused = command("onnx", "--model", encoder, "--feature", "masked-lm", encoder.parent / "out")
    assert refused.returncode == 1
    assert "the checkpoint has no weights for cls.predictions" in refused.stderr
    assert "feature=default (--feature default)" in refused.stderr


@pytest.mark.parametrize("backend", ["onnx", "torchscript"])
def test_the_hint_is_the_same_without_modules_json(encoder: Path, convert: Convert, backend: str) -> None:
    (encoder / "modules.json").unlink()
    outcome = convert(encoder, backend=backend)
    assert outcome.failure and "feature=default (--feature default)" in outcome.failure.hint


def test_a_base_model_that_lacks_weights_is_not_told_to_leave_out_its_head(tmp_path: Path, convert: Convert) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_tiny(tmp_path / "checkpoint", "bert")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    outcome = convert(folder)
    assert outcome.failure and "feature=default" not in outcome.failure.hint and "download it again" in outcome.failure.hint


@pytest.mark.parametrize("written_by", ["4", "5.4"])
def test_a_cross_encoder_is_a_classifier(tmp_path: Path, convert: Convert, written_by: str) -> None:
    folder = save_tiny(tmp_path / "cross", "bert", "AutoModelForSequenceClassification", num_labels=1)
    if written_by == "5.4":
        declare(folder, transformer_task="sequence-classification")
        (folder / "config_sentence_transformers.json").write_text('{"model_type": "CrossEncoder"}', encoding="utf-8")
    outcome = convert(folder)
    assert outcome.status == "converted", outcome.failure
    assert outcome.feature == "sequence-classification"
    assert outcome.notes == ()


@pytest.mark.parametrize(("kind", "settings"), [(MLM, {}), (TRANSFORMER, {"transformer_task": "fill-mask"})])
def test_a_sparse_encoder_keeps_its_head(tmp_path: Path, convert: Convert, kind: str, settings: dict[str, Any]) -> None:
    folder = declare(save_tiny(tmp_path / "splade", "bert", "AutoModelForMaskedLM"), kind, **settings)
    outcome = convert(folder)
    assert outcome.status == "converted", outcome.failure
    assert outcome.feature == "masked-lm"
    assert outcome.notes == ()


def test_a_decoder_that_embeds_gives_its_states_in_the_profile_of_the_hub_too(tmp_path: Path, convert: Convert) -> None:
    """As Qwen3-Embedding, whose config.json names a causal language model."""
    folder = declare(save_tiny(tmp_path / "decoder", "gpt2"), architecture="GPT2LMHeadModel")
    outcome = convert(folder, profile="hub")
    assert outcome.status == "converted", outcome.failure
    assert outcome.feature == "default"
    assert outcome.artifact and "last_hidden_state" in {spec.name for spec in outcome.artifact.signature.outputs}


@pytest.fixture(scope="module")
def t5_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = transformers.T5Config(d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, vocab_size=120, decoder_start_token_id=0)
    folder = tmp_path_factory.mktemp("t5")
    transformers.T5EncoderModel(config).save_pretrained(folder)
    return folder


def test_the_encoder_of_a_t5_is_converted_without_its_decoder(t5_encoder: Path, convert: Convert) -> None:
    outcome = convert(t5_encoder)
    assert outcome.status == "converted", outcome.failure
    assert outcome.artifact
    assert [spec.name for spec in outcome.artifact.signature.inputs] == ["input_ids", "attention_mask"]
    assert [spec.name for spec in outcome.artifact.signature.outputs] == ["last_hidden_state"]


def test_a_whole_t5_that_sentence_transformers_loads_is_its_encoder(t5_encoder: Path, convert: Convert, tmp_path: Path) -> None:
    folder = declare(shutil.copytree(t5_encoder, tmp_path / "t5"), architecture="T5ForConditionalGeneration")
    outcome = convert(folder, backend="torchscript")
    assert outcome.status == "converted", outcome.failure
    assert outcome.feature == "default"
    assert any("T5ForConditionalGeneration" in note for note in outcome.notes)


def test_a_model_in_a_folder_of_the_repository_is_named(tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "repository"
    save_tiny(folder / "0_Transformer", "bert")
    modules = [{"idx": 0, "name": "0", "path": "0_Transformer", "type": TRANSFORMER}]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    refused = command("onnx", "--model", folder, tmp_path / "out")
    assert refused.returncode == 1
    assert "has no config.json: modules.json says that its model is in 0_Transformer" in refused.stderr
