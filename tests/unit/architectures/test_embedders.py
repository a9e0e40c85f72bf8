"""Classes that embed and that no auto class has: transformers' own list, and ColBERT's model."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from converter.architectures import custom_architecture, find_architecture
from converter.architectures.embedders import COLBERT, EMBEDDERS, find_embedder, make_model
from converter.checkpoints.loading import load_model
from converter.core.errors import CheckpointError, NotSupportedError
from tests.support.checkpoints import save_tiny


def test_every_class_with_a_projection_that_transformers_has_is_known() -> None:
    names = {name for name in dir(transformers) if name.endswith("WithProjection")}
    assert names == {name for name in EMBEDDERS if name.endswith("WithProjection")}


@pytest.mark.parametrize("name", [name for name in EMBEDDERS if name != COLBERT])
def test_an_embedder_is_of_the_model_type_of_its_class(name: str) -> None:
    assert getattr(transformers, name).config_class.model_type == EMBEDDERS[name].model_type


def test_no_auto_class_that_is_used_here_has_an_embedder() -> None:
    from converter.architectures.auto import auto_models
    from converter.architectures.features import FEATURES

    used = {name for feature in FEATURES.values() for name in feature.auto_classes}
    loaded = {name for used_class in used for classes in auto_models()[used_class].values() for name in classes}
    assert loaded.isdisjoint(EMBEDDERS)


def test_an_embedder_is_known_by_the_class_and_the_model_type_together() -> None:
    assert find_embedder("clip_text_model", ["CLIPTextModelWithProjection"])
    assert not find_embedder("bert", ["CLIPTextModelWithProjection"])
    assert not find_embedder("clip_text_model", ["CLIPTextModel"])
    assert not find_embedder("clip_text_model", [])
    assert find_embedder("distilbert", [COLBERT])


def test_an_embedder_has_one_feature_and_is_loaded_by_its_class_whether_asked_for_or_not() -> None:
    architecture = find_architecture("clip_text_model", classes=["CLIPTextModelWithProjection"])
    assert architecture.features == ("default",)
    assert architecture.choose_feature(None, ["CLIPTextModelWithProjection"]) == "default"
    assert architecture.auto_class("feature-extraction") == "CLIPTextModelWithProjection"
    with pytest.raises(NotSupportedError, match="no feature 'masked-lm'"):
        find_architecture("bert", classes=[COLBERT]).check_feature("masked-lm")


def test_the_same_model_type_without_an_embedder_is_what_it_was() -> None:
    assert find_architecture("bert", classes=["BertModel"]) == find_architecture("bert")
    assert find_architecture("clip_text_model").auto_class("default") == "AutoModel"
    with pytest.raises(NotSupportedError, match="does not know it"):
        find_architecture("clap_text_model", classes=["ClapTextModel"])


def test_a_configuration_of_the_users_own_stays_and_converts_the_embedder(tmp_path: Path) -> None:
    from converter.architectures import embedding_architecture

    (tmp_path / "mine.py").write_text("from converter.onnx import OnnxConfig\nclass Mine(OnnxConfig):\n    inputs = {}\n")
    mine = custom_architecture(f"{tmp_path}/mine.py:Mine", "bert")
    architecture = embedding_architecture(mine, [COLBERT])
    assert architecture.onnx_config is mine.onnx_config
    assert (architecture.auto_class("default"), architecture.auto_class("masked-lm")) == (COLBERT, "AutoModelForMaskedLM")


@pytest.mark.parametrize("name", ["CLIPTextModelWithProjection", "SiglipTextModel", COLBERT])
def test_a_model_is_made_without_weights_and_with_the_attention_that_is_asked_for(name: str) -> None:
    model_type = EMBEDDERS[name].model_type or "bert"
    config = transformers.AutoConfig.for_model(model_type, num_hidden_layers=1)
    with torch.device("meta"):
        model = make_model(name, config, attn_implementation="eager", trust_remote_code=False)
    assert type(model).__name__ == name
    assert model.config._attn_implementation == "eager"


def save_colbert(folder: Path, model_type: str, width: int = 16) -> Path:
    """A tiny ColBERT checkpoint as ColBERT's own code saves it: the base model under its prefix, a projection, position_ids."""
    save_tiny(folder, model_type)
    base = load_file(folder / "model.safetensors")
    prefix = transformers.AutoModel.from_pretrained(folder).base_model_prefix
    torch.manual_seed(1)
    tensors = {f"{prefix}.{name}": tensor for name, tensor in base.items()} | {"linear.weight": torch.randn(width, 32)}
    tensors[f"{prefix}.embeddings.position_ids"] = torch.arange(40)[None]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": [COLBERT]}))
    return folder


@pytest.mark.parametrize("model_type", ["bert", "roberta", "camembert", "distilbert"])
def test_a_colbert_is_its_base_model_and_the_projection_of_the_file(tmp_path: Path, model_type: str) -> None:
    folder = save_colbert(tmp_path / "colbert", model_type)
    model = load_model(folder, COLBERT, "float32")
    base = transformers.AutoModel.from_pretrained(folder).eval()
    inputs = {"input_ids": torch.randint(5, 100, (2, 7)), "attention_mask": torch.ones(2, 7, dtype=torch.int64)}
    with torch.no_grad():
        expected = base(**inputs).last_hidden_state @ load_file(folder / "model.safetensors")["linear.weight"].T
        embeddings = model.module(**inputs, return_dict=True)["token_embeddings"]
    assert embeddings.shape == (2, 7, 16)
    assert torch.allclose(embeddings, expected, atol=1e-5)
    assert not model.made_up
    assert not model.notes
    assert list(inspect.signature(model.module.forward).parameters) == list(inspect.signature(base.forward).parameters)


def test_what_a_colbert_was_pretrained_with_is_another_head(tmp_path: Path) -> None:
    """ColBERT's own code passes over `cls`."""
    folder = save_colbert(tmp_path / "colbert", "bert")
    tensors = load_file(folder / "model.safetensors") | {"cls.predictions.bias": torch.randn(120)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_model(folder, COLBERT, "float32").notes == ("1 weight of another head left out: cls.predictions.bias",)


def test_a_colbert_without_its_projection_is_a_checkpoint_error(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "checkpoint", "bert")
    with pytest.raises(CheckpointError, match=r"names HF_ColBERT, and the matrix linear\.weight is missing"):
        load_model(folder, COLBERT, "float32")
