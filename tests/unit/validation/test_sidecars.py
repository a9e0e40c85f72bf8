"""Sidecar files are compared with the checkpoint's: by their bytes, otherwise by their settings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import transformers

from converter.core.records import Allowed
from converter.validation.sidecars import Sidecars, model_folders
from tests.support.checkpoints import save_tiny, save_tokenizer

Plant = Callable[[Path], object]

GENAI = b'{"model": {"type": "llama", "context_length": 40}}'


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_tiny(tmp_path_factory.mktemp("checkpoint") / "gpt2", "gpt2", "AutoModelForCausalLM", id2label={0: "no", 1: "yes"})
    save_tokenizer(folder, "input_ids", "attention_mask")
    (folder / "vocab.txt").write_text("using\nwith\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text('{"pad_token": "[PAD]"}', encoding="utf-8")
    (folder / "preprocessor_config.json").write_text('{"size": 224}', encoding="utf-8")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_mean_tokens": true}', encoding="utf-8")
    return folder


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """The files of a conversion: copies, and generated ones for onnxruntime-genai."""
    copy = shutil.copytree(checkpoint, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    (copy / "genai_config.json").write_bytes(GENAI)
    return copy


def problems(folder: Path, checkpoint: Path, **generated: bytes | None) -> list[str]:
    made: Mapping[str, bytes | None] = {"genai_config.json": GENAI, "config.json": (checkpoint / "config.json").read_bytes()}
    made = {**made, **{f"{name}.json": content for name, content in generated.items()}}
    return [*Sidecars(folder, checkpoint, made, Allowed()).problems()]


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}), encoding="utf-8")


def other_tokenizer(folder: Path) -> None:
    """Of the same size: two pieces have changed places."""
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"using": 4', '"using": 5').replace('"with": 5', '"with": 4'), encoding="utf-8")


def other_normalizer(folder: Path) -> None:
    """A part of tokenizer.json that no vocabulary shows."""
    edit(folder / "tokenizer.json", normalizer={"type": "Lowercase"})


def added_token(folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["ferry"])
    tokenizer.save_pretrained(folder)


FAULTS: dict[str, tuple[Plant, str]] = {
    "another tokenizer of the same size": (other_tokenizer, "has another vocabulary than the checkpoint's"),
    "another normalizer": (other_normalizer, "gives other ids than the checkpoint's for"),
    "an added token": (added_token, "has another vocabulary than the checkpoint's"),
    "padding on the other side": (lambda folder: edit(folder / "tokenizer_config.json", padding_side="left"), "another padding_side"),
    "another padding token": (
        lambda folder: edit(folder / "tokenizer_config.json", pad_token="[UNK]"),
        "tokenizer_config.json is not the checkpoint's: pad_token",
    ),
    "a shorter limit": (lambda folder: edit(folder / "tokenizer_config.json", model_max_length=8), "another model_max_length"),
    "a chat template": (
        lambda folder: (folder / "chat_template.jinja").write_text("{{ messages[0].content }}"),
        "another chat_template",
    ),
    "other labels": (
        lambda folder: edit(folder / "config.json", id2label={"0": "yes", "1": "no"}),
        "config.json is not the checkpoint's: id2label",
    ),
    "another activation": (
        lambda folder: edit(folder / "config.json", activation_function="relu"),
        "config.json is not the checkpoint's: activation_function",
    ),
    "another key for transformers.js": (
        lambda folder: edit(folder / "config.json", **{"transformers.js_config": {"use_external_data_format": {"model.onnx": 3}}}),
        "config.json says transformers.js_config otherwise than the files beside it need",
    ),
    "another end of texts": (
        lambda folder: edit(folder / "generation_config.json", eos_token_id=7),
        "generation_config.json is not the checkpoint's: eos_token_id",
    ),
    "generation that samples": (lambda folder: edit(folder / "generation_config.json", do_sample=True), "do_sample"),
    "another cache for genai": (
        lambda folder: edit(
            folder / "genai_config.json", model={**json.loads((folder / "genai_config.json").read_bytes())["model"], "context_length": 7}
        ),
        "genai_config.json is not the artifact's: model",
    ),
    "another vocabulary in a file that transformers does not read": (
        lambda folder: (folder / "vocab.txt").write_text("with\nusing\n"),
        "vocab.txt is not the checkpoint's",
    ),
    "another special token for older clients": (
        lambda folder: edit(folder / "special_tokens_map.json", pad_token={"content": "[UNK]", "lstrip": False}),
        "special_tokens_map.json is not the checkpoint's: pad_token",
    ),
    "images of another size": (
        lambda folder: edit(folder / "preprocessor_config.json", size=225),
        "preprocessor_config.json is not the checkpoint's: size",
    ),
    "another pooling": (
        lambda folder: edit(folder / "1_Pooling/config.json", pooling_mode_mean_tokens=False),
        "1_Pooling/config.json is not the checkpoint's: pooling_mode_mean_tokens",
    ),
    "a tokenizer that cannot be loaded": (
        lambda folder: (folder / "tokenizer.json").write_text("{}"),
        "cannot be compared with the checkpoint's",
    ),
    "a link that leads nowhere": (
        lambda folder: ((folder / "preprocessor_config.json").unlink(), (folder / "preprocessor_config.json").symlink_to("nowhere")),
        "preprocessor_config.json cannot be compared with the checkpoint's",
    ),
    "what is no JSON": (lambda folder: (folder / "generation_config.json").write_text("{"), "generation_config.json cannot be compared"),
}


def test_what_a_conversion_leaves_has_no_problem(folder: Path, checkpoint: Path) -> None:
    assert problems(folder, checkpoint) == []
    assert problems(checkpoint, checkpoint) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_file_is_found(fault: str, folder: Path, checkpoint: Path) -> None:
    plant, message = FAULTS[fault]
    plant(folder)
    clauses = problems(folder, checkpoint)
    assert any(message in problem for problem in clauses), clauses


def test_files_that_transformers_has_written_again_say_the_same(folder: Path, checkpoint: Path) -> None:
    transformers.AutoConfig.from_pretrained(checkpoint).save_pretrained(folder)
    transformers.GenerationConfig.from_pretrained(checkpoint).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(checkpoint).save_pretrained(folder)
    edit(folder / "config.json", transformers_version="4.40.0", torch_dtype="float16")
    edit(folder / "special_tokens_map.json", pad_token={"content": "[PAD]", "lstrip": False})
    assert (folder / "config.json").read_bytes() != (checkpoint / "config.json").read_bytes()
    assert problems(folder, checkpoint) == []


def test_a_file_that_is_not_there_is_the_records_business(folder: Path, checkpoint: Path) -> None:
    for name in ("tokenizer.json", "generation_config.json", "genai_config.json"):
        (folder / name).unlink()
    (folder / "tokenizer_config.json").unlink()
    (folder / "vocab.txt").unlink()
    assert problems(folder, checkpoint) == []


def test_what_transformers_derives_from_config_json_may_be_written_out(folder: Path, checkpoint: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(checkpoint, tmp_path / "bare", ignore=shutil.ignore_patterns("generation_config.json"))
    assert problems(folder, bare) == []
    edit(folder / "generation_config.json", eos_token_id=7)
    assert problems(folder, bare) == ["generation_config.json is not the checkpoint's: eos_token_id"]


def test_a_tokenizer_beside_a_checkpoint_without_one_is_found(folder: Path, checkpoint: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(checkpoint, tmp_path / "bare", ignore=shutil.ignore_patterns("tokenizer*", "vocab.txt"))
    assert problems(folder, bare) == ["its tokenizer has no counterpart: the checkpoint has none"]


def test_a_file_for_clients_that_this_artifact_has_none_of_is_found(folder: Path, checkpoint: Path) -> None:
    assert problems(folder, checkpoint, genai_config=None) == ["genai_config.json is of another artifact: delete it"]


def test_a_file_that_the_checkpoint_has_itself_is_compared_with_that(folder: Path, checkpoint: Path, tmp_path: Path) -> None:
    own = shutil.copytree(checkpoint, tmp_path / "own")
    (own / "genai_config.json").write_text("{}", encoding="utf-8")
    assert problems(folder, own) == ["genai_config.json is not the checkpoint's: model"]
    shutil.copy(own / "genai_config.json", folder)
    assert problems(folder, own) == []


def test_code_beside_an_artifact_is_not_run(folder: Path, checkpoint: Path) -> None:
    (folder / "evil.py").write_text("raise SystemExit('run')", encoding="utf-8")
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "evil.Tokenizer"]}, tokenizer_class="Tokenizer")
    edit(folder / "config.json", auto_map={"AutoConfig": "evil.Config"}, model_type="evil")
    clauses = problems(folder, checkpoint)
    assert any("config.json" in problem for problem in clauses)


def test_the_folder_of_a_model_is_the_artifacts_own_or_the_one_above_that_belongs_to_it(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "model/onnx").mkdir(parents=True)
    (tmp_path / "model/other").mkdir()
    shutil.copy(checkpoint / "config.json", tmp_path / "model")
    model = tmp_path / "model"
    assert model_folders(model / "onnx", "onnx", []) == [model]
    assert model_folders(model / "other", "onnx", []) == []
    assert model_folders(model / "other", "onnx", ["config.json"]) == [model]
    assert model_folders(model, "onnx", []) == [model]
    (model / "config.json").write_text('{"name": "a working folder"}', encoding="utf-8")
    assert model_folders(model / "onnx", "onnx", []) == []
