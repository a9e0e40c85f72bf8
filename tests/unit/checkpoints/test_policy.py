"""Which files of a checkpoint are taken, and which checkpoints are refused."""

from __future__ import annotations

import ast
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.checkpoints.policy import WEIGHTS, WEIGHTS_INDEX, check_config, is_of_tokenizer, is_sidecar, names_model_type, weight_files
from converter.core.errors import CheckpointError


def unread(_: str) -> str:
    raise AssertionError("the index was read for nothing")


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "generation_config.json",
        "vocab.txt",
        "merges.txt",
        "spiece.model",
        "chat_template.jinja",
        "sentencepiece.bpe.model",
        "source.spm",
        "tokenizer.model.v3",
        "qwen.tiktoken",
        "bpe.codes",
        "additional_chat_templates/tools.jinja",
        "modules.json",
        "1_Pooling/config.json",
    ],
)
def test_config_and_tokenizer_files_go_beside_the_artifact(name: str) -> None:
    assert is_sidecar(name)


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "README.md",
        ".gitattributes",
        "modeling_x.py",
        "onnx/config.json",
        "onnx/model.onnx",
        "converter.json",
        "report.json",
        "requirements.txt",
        "LICENSE.txt",
        "trainer_state.json",
        "eval_results.json",
        "1_Pooling/deeper/config.json",
        "runs/events.txt",
    ],
)
def test_weights_code_and_what_is_ours_do_not(name: str) -> None:
    assert not is_sidecar(name)


def vocabulary_files() -> dict[str, tuple[str, ...]]:
    """The files of each tokenizer in transformers' sources, by the module's name; nothing is imported of it."""
    (root,) = find_spec("transformers").submodule_search_locations  # type: ignore[union-attr,misc]
    files = {}
    for path in sorted(Path(root).glob("models/*/tokenization_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VOCAB_FILES_NAMES" and isinstance(node.value, ast.Dict):
                files[path.stem] = tuple(constant.value for constant in node.value.values if isinstance(constant, ast.Constant))
    return files


@pytest.mark.torch
def test_every_vocabulary_that_transformers_reads_is_known_and_copied() -> None:
    files = vocabulary_files()
    assert len(files) > 60
    assert [module for module, names in files.items() if names and not any(map(is_of_tokenizer, names))] == []
    assert {name for names in files.values() for name in names if not is_sidecar(name)} == set()


def test_a_config_that_names_its_model_type_is_taken_whole() -> None:
    assert check_config('{"model_type": "bert", "extra": [1]}', "org/a") == {"model_type": "bert", "extra": [1]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not a JSON object"),
        ("null", "is not a JSON object"),
        ('\ufeff{"model_type": "bert"}', "begins with a byte order mark"),
    ],
)
def test_another_config_is_refused_by_the_checkpoints_name(text: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=f"config.json of org/a {message}"):
        check_config(text, "org/a")


def test_one_file_of_weights_is_preferred_to_shards() -> None:
    assert weight_files("org/a", [WEIGHTS, WEIGHTS_INDEX, "pytorch_model.bin"], unread) == (WEIGHTS,)


def test_shards_are_taken_as_the_index_names_them_each_once() -> None:
    index = json.dumps({"weight_map": {"c": "b.safetensors", "a": "a.safetensors", "b": "b.safetensors"}})
    files = [WEIGHTS_INDEX, "a.safetensors", "b.safetensors", "other.safetensors"]
    assert weight_files("org/a", files, lambda _: index) == (WEIGHTS_INDEX, "a.safetensors", "b.safetensors")


def test_missing_shards_are_named() -> None:
    index = json.dumps({"weight_map": {name: f"{name}.safetensors" for name in "abc"}})
    with pytest.raises(CheckpointError, match=r"lacks 2 of its 3 weight files: a\.safetensors, c\.safetensors"):
        weight_files("org/a", [WEIGHTS_INDEX, "b.safetensors"], lambda _: index)


@pytest.mark.parametrize(
    "shard", ["../a.safetensors", "/a.safetensors", "x/a.safetensors", "..", "", "pytorch_model.bin", "./a.safetensors"]
)
def test_an_index_that_names_what_is_no_safetensors_file_beside_it_is_refused(shard: str) -> None:
    with pytest.raises(CheckpointError, match="which is not a file beside it"):
        weight_files("org/a", [WEIGHTS_INDEX, shard], lambda _: json.dumps({"weight_map": {"a": shard}}))


def test_an_index_that_names_no_weights_is_refused() -> None:
    with pytest.raises(CheckpointError, match="names no weights"):
        weight_files("org/a", [WEIGHTS_INDEX], lambda _: '{"weight_map": {}}')


@pytest.mark.parametrize("files", [["pytorch_model.bin"], ["tf_model.h5"], ["model.fp16.safetensors"], []])
def test_a_checkpoint_without_allowed_weights_has_no_weight_files(files: list[str]) -> None:
    assert weight_files("org/a", ["config.json", *files], unread) == ()


@pytest.mark.parametrize("config", [{}, {"model_type": ""}, {"model_type": ["bert"]}, {"model_type": "a" * 10**6}, {"model_type": 1e999}])
def test_a_config_may_name_no_model_type(config: dict[str, Any]) -> None:
    assert not names_model_type(config)
    assert names_model_type({"model_type": "bert"})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(st.one_of(st.text(), _JSON.map(json.dumps), st.fixed_dictionaries({"weight_map": _JSON}).map(json.dumps)))
def test_any_config_and_any_index_are_taken_or_refused_with_a_sentence(text: str) -> None:
    for read in (lambda: check_config(text, "org/a"), lambda: weight_files("org/a", [WEIGHTS_INDEX], lambda _: text)):
        with pytest.raises(CheckpointError):
            raise CheckpointError(str(read()))


def test_code_of_its_own_is_refused() -> None:
    with pytest.raises(CheckpointError, match="has its own code"):
        check_config('{"model_type": "bert", "auto_map": {"AutoModel": "modeling.Mine"}}', "ours")


def test_a_config_with_a_figure_without_end_is_refused() -> None:
    with pytest.raises(CheckpointError) as caught:
        check_config(f'{{"model_type": "bert", "x": {"9" * 5000}}}', "org/a")
    assert len(caught.value.message) < 500


def test_of_thousands_of_missing_shards_some_are_named() -> None:
    index = json.dumps({"weight_map": {str(n): f"{n}.safetensors" for n in range(100_000)}})
    with pytest.raises(CheckpointError, match="lacks 100000 of its 100000") as caught:
        weight_files("org/a", [WEIGHTS_INDEX], lambda _: index)
    assert len(caught.value.message) < 500
