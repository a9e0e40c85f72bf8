"""Every architecture keeps the documented contract of transformers.onnx."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from converter.architectures import FEATURES, architectures, canonical, find_architecture
from converter.errors import NotSupportedError

CONTRACT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data/transformers_onnx_contract.json").read_text(encoding="utf-8"))
CONFIG = SimpleNamespace(vocab_size=120, type_vocab_size=2, max_position_embeddings=40, pad_token_id=1)
SUPPORTED = ("bert", "camembert", "distilbert", "roberta")
ROWS = [(model_type, feature) for model_type in SUPPORTED for feature in CONTRACT[model_type]["features"]]


def test_the_architectures_are_these_in_alphabetical_order() -> None:
    assert tuple(architectures()) == SUPPORTED


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_every_feature_of_the_contract_is_there_and_in_its_order(model_type: str) -> None:
    assert list(find_architecture(model_type).features) == list(CONTRACT[model_type]["features"])


@pytest.mark.parametrize(("model_type", "feature"), ROWS)
def test_a_feature_keeps_the_contract(model_type: str, feature: str) -> None:
    contract = CONTRACT[model_type]["features"][feature]
    config = find_architecture(model_type).onnx_config(CONFIG, feature)
    assert config.feature.auto_class == contract["auto_class"]
    assert config.atol_for_validation == contract["atol"]
    for ours, theirs in ((config.inputs, contract["inputs"]), (config.outputs, contract["outputs"])):
        assert list(ours) == list(theirs)
        for name, axes in theirs.items():
            assert {str(axis): label for axis, label in ours[name].items()}.items() >= axes.items()


@pytest.mark.parametrize(("model_type", "feature"), ROWS)
def test_every_input_is_a_mask_or_has_a_range_of_values(model_type: str, feature: str) -> None:
    config = find_architecture(model_type).onnx_config(CONFIG, feature)
    assert set(config.inputs) - {"attention_mask"} <= set(config.vocab_sizes)
    assert config.vocab_sizes["input_ids"] == 120


@pytest.mark.parametrize(("model_type", "longest"), [("bert", 40), ("distilbert", 40), ("roberta", 38), ("camembert", 38)])
def test_the_longest_sequence_is_what_the_position_table_holds(model_type: str, longest: int) -> None:
    assert find_architecture(model_type).onnx_config(CONFIG).max_sequence_length == longest


def test_an_unknown_architecture_is_told_with_those_there_are() -> None:
    with pytest.raises(NotSupportedError, match="'gpt5' is not supported") as caught:
        find_architecture("gpt5")
    assert caught.value.hint == f"supported are: {', '.join(SUPPORTED)}"


def test_a_feature_that_an_architecture_lacks_is_told_with_those_it_has() -> None:
    with pytest.raises(NotSupportedError, match=r"DistilBERT .*has no feature 'causal-lm'") as caught:
        find_architecture("distilbert").check_feature("causal-lm")
    assert caught.value.hint == f"choose one of: {', '.join(find_architecture('distilbert').features)}"


@pytest.mark.parametrize(
    ("task", "feature"),
    [
        ("feature-extraction", "default"),
        ("sentence-similarity", "default"),
        ("fill-mask", "masked-lm"),
        ("text-generation", "causal-lm"),
        ("text-classification", "sequence-classification"),
        ("zero-shot-classification", "sequence-classification"),
        ("token-classification", "token-classification"),
    ],
)
def test_the_hubs_name_of_a_task_is_a_synonym_of_the_feature(task: str, feature: str) -> None:
    assert canonical(task) == feature
    assert find_architecture("bert").check_feature(task) == feature
    assert find_architecture("bert").onnx_config(CONFIG, task).task == feature


def test_no_name_stands_for_two_features() -> None:
    names = [name for feature in FEATURES.values() for name in (feature.name, *feature.synonyms)]
    assert len(names) == len(set(names))
