"""Checkpoints whose class has a projection that no auto class loads are converted with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from converter.core.records import Outcome
from converter.onnx import FeaturesManager, export
from tests.coverage.tiny import tiny_config
from tests.unit.architectures.test_embedders import save_colbert

Convert = Callable[..., Outcome]


def _settings() -> Mapping[str, Any]:
    """A configuration for each class: as small as its shapes allow."""
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "projection_dim": 24}
    text = {**size, "vocab_size": 120, "max_position_embeddings": 40, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    image = {**size, "image_size": 32, "patch_size": 8}
    clap, blip = tiny_config("clap"), tiny_config("blip-2")
    clap.audio_config.update({"spec_size": 256, "num_mel_bins": 64, "window_size": 8})
    blip.qformer_config.update({"use_qformer_text_input": True, "vocab_size": 120})
    return {
        "CLIPTextModelWithProjection": transformers.CLIPTextConfig(**text),
        "CLIPVisionModelWithProjection": transformers.CLIPVisionConfig(**image),
        "MetaClip2TextModelWithProjection": transformers.MetaClip2TextConfig(**text),
        "MetaClip2VisionModelWithProjection": transformers.MetaClip2VisionConfig(**image),
        "ClapTextModelWithProjection": clap.text_config,
        "ClapAudioModelWithProjection": clap.audio_config,
        "Blip2TextModelWithProjection": blip,
        "Blip2VisionModelWithProjection": blip,
        "SiglipTextModel": tiny_config("siglip").text_config,
        "Siglip2TextModel": tiny_config("siglip2").text_config,
    }


OUTPUTS = {
    "CLIPTextModelWithProjection": "text_embeds",
    "CLIPVisionModelWithProjection": "image_embeds",
    "MetaClip2TextModelWithProjection": "text_embeds",
    "MetaClip2VisionModelWithProjection": "image_embeds",
    "ClapTextModelWithProjection": "text_embeds",
    "ClapAudioModelWithProjection": "audio_embeds",
    "Blip2TextModelWithProjection": "text_embeds",
    "Blip2VisionModelWithProjection": "image_embeds",
    "SiglipTextModel": "pooler_output",
    "Siglip2TextModel": "pooler_output",
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_embedder_is_converted_with_its_projection_and_without_a_feature(convert: Convert, tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    model = getattr(transformers, name)(_settings()[name]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.1)
    model.save_pretrained(tmp_path / "checkpoint")
    outcome = convert(tmp_path / "checkpoint")
    assert outcome.status == "converted", outcome.failure
    assert outcome.feature == "default"
    assert not [note for note in outcome.notes if "left out" in note or "projection" in note]
    session = onnxruntime.InferenceSession(tmp_path / "artifact" / "model.onnx")
    assert [node.name for node in session.get_outputs()] == [OUTPUTS[name], "last_hidden_state"]
    rng = np.random.default_rng(3)
    feed = {node.name: _values(node, rng) for node in session.get_inputs()}
    with torch.no_grad():
        expected = model(**{key: torch.from_numpy(value) for key, value in feed.items()})
    for output, array in zip(session.get_outputs(), session.run(None, feed), strict=True):
        assert np.allclose(array, expected[output.name].numpy(), atol=1e-4)


def _values(spec: Any, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    shape = [length if isinstance(length, int) else {"batch": 3}.get(length, 9) for length in spec.shape]
    if spec.name == "attention_mask":
        return np.ones(shape, np.int64)
    if spec.type == "tensor(int64)":
        return rng.integers(5, 100, shape)
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("model_type", ["bert", "distilbert"])
@pytest.mark.parametrize("backend", ["onnx", "torchscript"])
def test_a_colbert_is_converted_with_its_projection(convert: Convert, tmp_path: Path, model_type: str, backend: str) -> None:
    outcome = convert(save_colbert(tmp_path / "checkpoint", model_type), backend=backend)
    assert outcome.status == "converted", outcome.failure
    assert outcome.artifact
    assert [(tensor.name, tensor.shape[2]) for tensor in outcome.artifact.signature.outputs] == [("token_embeddings", 16)]


def test_the_documented_interface_and_the_profile_of_the_hub_have_the_projection(convert: Convert, tmp_path: Path) -> None:
    folder = save_colbert(tmp_path / "checkpoint", "bert")
    model = FeaturesManager.get_model_from_feature("default", str(folder))
    _, configure = FeaturesManager.check_supported_model_or_raise(model)
    export(None, model, configure(model.config), None, tmp_path / "model.onnx")
    assert [tensor.name for tensor in onnxruntime.InferenceSession(tmp_path / "model.onnx").get_outputs()] == ["token_embeddings"]
    outcome = convert(folder, profile="hub")
    assert outcome.artifact
    assert [tensor.shape for tensor in outcome.artifact.signature.outputs] == [("batch_size", "sequence", 16)]


def test_the_same_graph_serves_no_other_class(convert: Convert, tmp_path: Path) -> None:
    """A plain CLIP text model is of the same model type, and gives no embedding."""
    torch.manual_seed(0)
    transformers.CLIPTextModel(_settings()["CLIPTextModelWithProjection"]).save_pretrained(tmp_path / "checkpoint")
    outcome = convert(tmp_path / "checkpoint")
    assert outcome.artifact
    assert [tensor.name for tensor in outcome.artifact.signature.outputs] == ["last_hidden_state"]


# --- weights that are left out ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DistilBERT's masked language model with a head that no class has, under a class that nobody knows."""
    from tests.support.checkpoints import save_tiny

    folder = save_tiny(tmp_path_factory.mktemp("strange"), "distilbert", "AutoModelForMaskedLM")
    save_file(
        {**load_file(folder / "model.safetensors"), "value.weight": torch.randn(1, 32)}, folder / "model.safetensors", {"format": "pt"}
    )
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["DistilBertForValues"]}))
    return folder


def test_the_hint_of_an_unknown_class_leads_to_no_silent_loss(command: Callable[..., Any], strange: Path, tmp_path: Path) -> None:
    refused = command("onnx", "--model", strange, tmp_path / "out")
    assert refused.returncode == 1
    assert "choose one with --feature" in refused.stderr
    refused = command("onnx", "--model", strange, "--feature", "masked-lm", tmp_path / "out")
    assert refused.returncode == 1
    assert "has 1 weight that DistilBertForMaskedLM does not load and no other head has: value.weight" in refused.stderr
    assert "--drop-weights" in refused.stderr
    assert not (tmp_path / "out" / "model.onnx").exists()


@pytest.mark.parametrize("backend", ["onnx", "torchscript"])
def test_what_is_left_out_is_in_the_record_and_told_again(command: Callable[..., Any], strange: Path, tmp_path: Path, backend: str) -> None:
    out = tmp_path / "out"
    made = command(backend, "--model", strange, "--feature", "default", "--drop-weights", out)
    assert made.returncode == 0, made.stderr
    head = "5 weights of another head left out: vocab_layer_norm.bias, vocab_layer_norm.weight, vocab_projector.bias and 2 more"
    notes = [head, "1 weight left out by --drop-weights: value.weight"]
    assert json.loads((out / "converter.json").read_text())["notes"] == notes
    assert all(f"note: {note}" in made.stderr for note in notes)
    again = command(backend, "--model", strange, "--feature", "default", "--drop-weights", out)
    assert all(f"note: {note}" in again.stderr for note in notes)  # it is done already
    checked = command("validate", out, "--reference", strange, "--drop-weights")
    assert checked.returncode == 0, checked.stderr
    assert all(f"note: {note}" in checked.stdout for note in notes)
    refused = command("validate", out, "--reference", strange)  # anybody may have written the record
    assert refused.returncode == 1
    assert "value.weight" in refused.stderr and "--drop-weights" in refused.stderr


def test_weights_that_no_output_depends_on_are_noted(convert: Convert, tmp_path: Path) -> None:
    """BART's decoder alone has no encoder to attend to."""
    from tests.support.checkpoints import save_tiny

    outcome = convert(save_tiny(tmp_path / "checkpoint", "bart", "AutoModelForCausalLM"), feature="causal-lm")
    (note,) = outcome.notes
    assert note.startswith("no output depends on 20 weights: model.decoder.layers.0.encoder_attn.k_proj.weight, ")


def test_no_note_is_on_a_model_whose_pooler_alone_is_unused(convert: Convert, tiny: Callable[..., Path]) -> None:
    assert convert(tiny("bert"), feature="default").notes == ()
