from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from converter.checkpoints.fetch import resolve
from converter.checkpoints.recognition import Place, check_adapter, without_config, without_model_type, without_weights
from converter.core.errors import CheckpointError
from converter.core.records import Source


def place(*files: str, contents: dict[str, Any] | None = None, is_local: bool = True) -> Place:
    texts = {name: json.dumps(content) for name, content in (contents or {}).items()}
    return Place("./it" if is_local else "org/it", {*files, *texts}, lambda name, _: texts[name], is_local)


PIPELINE = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.35",
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "safety_checker": [None, None],
}


@pytest.mark.parametrize(
    ("files", "contents", "message", "hint"),
    [
        ([], {}, "./it has no config.json", "name a folder or repository"),
        (["notes.md"], {}, "./it has no config.json", "name a folder or repository"),
        (["model.safetensors"], {}, "./it has no config.json, only model.safetensors", "name a folder or repository"),
        (
            ["0_Transformer/config.json"],
            {"modules.json": [{"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}]},
            "./it has no config.json: modules.json says that its model is in 0_Transformer",
            "name ./it/0_Transformer",
        ),
        (
            ["unet/config.json", "text_encoder/config.json"],
            {"model_index.json": PIPELINE},
            "./it is a pipeline of diffusers (StableDiffusionPipeline), not a model of transformers",
            "name ./it/text_encoder",
        ),
        ([], {"model_index.json": []}, "./it is a pipeline of diffusers, not a model of transformers", "export it with a tool"),
        (["a.gguf", "b.gguf"], {}, "./it has no config.json, only GGUF files: a.gguf, b.gguf", "name the checkpoint that they were made"),
        (["onnx/model.onnx"], {}, "./it has no config.json, only ONNX files: onnx/model.onnx", "name the checkpoint that they were made"),
        (
            ["flax_model.msgpack"],
            {},
            "./it has no config.json, only flax_model.msgpack of Flax",
            "name a checkpoint with model.safetensors",
        ),
        (
            ["consolidated.00.pth", "params.json"],
            {},
            "./it has consolidated.00.pth and params.json, a format that transformers does not read",
            "name the checkpoint in the format of transformers, with config.json and model.safetensors",
        ),
        (
            ["checkpoint-1000/config.json", "checkpoint-500/config.json"],
            {},
            "./it has no config.json; its folders checkpoint-500, checkpoint-1000 have one",
            "name ./it/checkpoint-1000",
        ),
        (["best/config.json"], {}, "./it has no config.json; its folder best has one", "name ./it/best"),
    ],
)
def test_a_place_without_config_is_refused_as_the_thing_that_it_is(
    files: list[str], contents: dict[str, Any], message: str, hint: str
) -> None:
    error = without_config(place(*files, contents=contents))
    assert error.message == message
    assert error.hint.startswith(hint)


def test_a_folder_in_a_repository_has_to_be_downloaded() -> None:
    error = without_config(place("best/config.json", is_local=False))
    assert (error.message, error.hint) == (
        "org/it has no config.json; its folder best has one",
        "download the repository, and name its folder best",
    )


@pytest.mark.parametrize(
    ("config", "message", "hint"),
    [
        ({}, "config.json of ./it has no model_type", 'add "model_type"'),
        ({"_class_name": "UNet2DConditionModel"}, "./it is a UNet2DConditionModel of diffusers", "export it with a tool for diffusers"),
        ({"architecture": "resnet50", "num_features": 2048}, "./it is the timm model resnet50", "export it with timm's onnx_export.py"),
        ({"architecture": "vit", "pretrained_cfg": {}}, "./it is the timm model vit", "export it with timm's onnx_export.py"),
        ({"model_cfg": {}, "preprocess_cfg": {}}, "./it is a model of OpenCLIP", "name the checkpoint in the format of transformers"),
        ({"word_embedding_dimension": 8}, "./it is a module of sentence-transformers without a model", "name the folder above it"),
        ({"keras_version": "3"}, "./it is a Keras model", "export it with tf2onnx"),
    ],
)
def test_a_config_without_model_type_is_refused_as_the_thing_that_it_is(config: dict[str, Any], message: str, hint: str) -> None:
    error = without_model_type("./it", config)
    assert error.message.startswith(message)
    assert error.hint.startswith(hint)


@pytest.mark.parametrize(
    ("files", "message", "hint"),
    [
        ([], "./it has no model.safetensors", "name a folder or repository that holds the weights"),
        (
            ["model.fp16.safetensors"],
            "./it has no model.safetensors, only the variant model.fp16.safetensors",
            "rename model.fp16.safetensors to model.safetensors",
        ),
        (
            [f"model.fp16-0000{part}-of-00002.safetensors" for part in (1, 2)],
            "./it has no model.safetensors, only the variant model.fp16-00001-of-00002.safetensors, model.fp16-00002-of-00002.safetensors",
            "load it with transformers' variant= and save it again without",
        ),
        (
            ["model-00001-of-00002.safetensors"],
            "./it has the shards model-00001-of-00002.safetensors and no model.safetensors.index.json",
            "download model.safetensors.index.json too",
        ),
        *(
            ([name], "./it has its weights as a pickle only, which can run code when it is loaded", "save it with transformers'")
            for name in ("pytorch_model.bin", "pytorch_model-00001-of-00002.bin")
        ),
        (
            ["weights.safetensors"],
            "./it has no model.safetensors, and transformers does not read weights.safetensors",
            "if weights.safetensors holds the whole model, rename it to model.safetensors",
        ),
        *(
            ([name], f"./it has no model.safetensors, and transformers does not read {name}", "if one of these holds the whole model, load")
            for name in ("model.pt", "optimizer.pt", "epoch=3.ckpt", "weights.pkl")
        ),
        (["a.gguf"], "./it has no model.safetensors, only GGUF files: a.gguf", "name the checkpoint that they were made from"),
        (["onnx/model.onnx"], "./it has no model.safetensors, only ONNX files: onnx/model.onnx", "name the checkpoint that they were"),
        (["tf_model.h5"], "./it has no model.safetensors, only tf_model.h5 of TensorFlow", "name a checkpoint with model.safetensors"),
    ],
)
def test_a_place_without_weights_is_refused_with_the_files_that_it_has(files: list[str], message: str, hint: str) -> None:
    error = without_weights(place("config.json", *files))
    assert error.message == message
    assert error.hint.startswith(hint)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peft_type": "LORA", "base_model_name_or_path": "org/base"}, "./it is a LoRA adapter of org/base, not a whole model"),
        ({"peft_type": "IA3", "base_model_name_or_path": "org/base"}, "./it is an adapter (IA3) of org/base, not a whole model"),
        ({}, "./it is an adapter, not a whole model"),
        ([], "./it is an adapter, not a whole model"),
    ],
)
def test_an_adapter_is_refused_with_the_model_that_it_belongs_to(settings: object, message: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        check_adapter(place("adapter_model.safetensors", contents={"adapter_config.json": settings}))
    assert caught.value.message == message
    assert "merge_and_unload" in caught.value.hint


def test_an_adapter_with_the_config_of_its_model_is_refused_too(tmp_path: Path) -> None:
    for name in ("config.json", "adapter_config.json"):
        (tmp_path / name).write_text('{"model_type": "llama"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="is an adapter, not a whole model") as caught:
        resolve(Source(name="./it", folder=tmp_path))
    assert caught.value.hint.endswith("or delete adapter_config.json if model.safetensors is the whole model")


def test_names_without_end_make_no_long_message() -> None:
    long = "x" * 10_000
    for error in (
        without_config(place(f"{long}/config.json")),
        without_config(place(*(f"{number}{long}.gguf" for number in range(9)))),
        without_model_type("./it", {"_class_name": long}),
        without_weights(place("config.json", f"{long}.safetensors")),
    ):
        assert len(error.message) + len(error.hint) < 1_000
