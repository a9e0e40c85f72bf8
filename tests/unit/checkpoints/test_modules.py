"""What modules.json says of a repository, in the layouts that versions of sentence-transformers write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from converter.checkpoints.modules import declared_task, folder_of_model
from converter.core.errors import CheckpointError


def module(kind: str, path: str = "") -> list[dict[str, Any]]:
    return [{"idx": 0, "name": "0", "path": path, "type": kind}, {"idx": 1, "name": "1", "path": "1_Pooling", "type": "…models.Pooling"}]


def declared(files: Mapping[str, Any]) -> str:
    return declared_task("org/name", files, lambda name, _: json.dumps(files[name]))


OLD = "sentence_transformers.models.Transformer"
NEW = "sentence_transformers.base.modules.transformer.Transformer"


@pytest.mark.parametrize(
    ("files", "task"),
    [
        ({"modules.json": module(OLD)}, "feature-extraction"),
        ({"modules.json": module(OLD), "sentence_bert_config.json": {"max_seq_length": 384}}, "feature-extraction"),
        ({"modules.json": module(NEW), "sentence_bert_config.json": {"transformer_task": "feature-extraction"}}, "feature-extraction"),
        ({"modules.json": module("custom_st.Transformer")}, "feature-extraction"),
        ({"modules.json": module("sentence_transformers.sparse_encoder.models.MLMTransformer")}, "fill-mask"),
        ({"modules.json": module(NEW), "sentence_bert_config.json": {"transformer_task": "fill-mask"}}, "fill-mask"),
        ({"modules.json": module(NEW), "sentence_roberta_config.json": {"transformer_task": "text-generation"}}, "text-generation"),
        (
            {"modules.json": module(NEW), "sentence_bert_config.json": {"transformer_task": "sequence-classification"}},
            "sequence-classification",
        ),
        ({"modules.json": module(NEW), "config_sentence_transformers.json": {"model_type": "CrossEncoder"}}, ""),
        ({"modules.json": module(NEW), "config_sentence_transformers.json": {"model_type": "SentenceTransformer"}}, "feature-extraction"),
        ({"config_sentence_transformers.json": {"model_type": "CrossEncoder"}}, ""),  # before 5.4 these had no modules.json
        ({"modules.json": module("sentence_transformers.models.CLIPModel")}, ""),
        ({"modules.json": module("sentence_transformers.models.Router")}, ""),
        ({"modules.json": module(OLD, "0_Transformer")}, ""),  # then config.json is of something else
        *(({"modules.json": content}, "") for content in ([], {}, "x", [3], [{}], [{"type": 3, "path": None}])),
        ({"modules.json": module(OLD), "sentence_bert_config.json": [1]}, "feature-extraction"),
        ({}, ""),
    ],
)
def test_the_task_of_a_repository_is_what_its_first_module_is_loaded_for(files: Mapping[str, Any], task: str) -> None:
    assert declared(files) == task


def test_a_file_that_is_not_json_is_told() -> None:
    with pytest.raises(CheckpointError, match=r"modules.json of org/name is not JSON"):
        declared_task("org/name", {"modules.json"}, lambda *_: "{")


def test_the_folder_of_an_older_repositorys_model_is_found() -> None:
    files = {"modules.json": module(OLD, "0_Transformer"), "0_Transformer/config.json": {}}
    assert folder_of_model("org/name", files, lambda name, _: json.dumps(files[name])) == "0_Transformer"
    del files["0_Transformer/config.json"]
    assert folder_of_model("org/name", files, lambda name, _: json.dumps(files[name])) == ""
