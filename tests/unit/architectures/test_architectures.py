"""Every architecture keeps the documented contract of transformers.onnx."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import transformers

import converter.architectures as registry
import converter.onnx
from converter.architectures import (
    FEATURES,
    Architecture,
    OnnxConfig,
    architectures,
    canonical,
    families,
    feature_of_class,
    find_architecture,
)
from converter.cli import main
from converter.core.errors import NotSupportedError
from tests.support.checkpoints import TINY_CONFIGS
from tests.support.contract import CONTRACT, ROWS, spread

# An input's past and the output's past with the new tokens are not of one length, nor is the mask that covers both.
PAST = ("past_sequence + sequence", "past_sequence")
TRUE_LABELS = {
    "causal-lm-with-past": {"attention_mask": ("encoder_sequence", "past_sequence + sequence"), "past_key_values": PAST},
    "default-with-past": {"past_key_values": PAST, "present.encoder": ("past_encoder_sequence", "encoder_sequence")},
    "seq2seq-lm-with-past": {"present.encoder": ("past_encoder_sequence", "encoder_sequence")},
}


def tiny_config(model_type: str) -> Any:
    return transformers.AutoConfig.for_model(model_type, **TINY_CONFIGS[model_type])


def configured(model_type: str, feature: str = "default") -> OnnxConfig:
    return find_architecture(model_type).configure(tiny_config(model_type), feature)


def true_label(feature: str, name: str, label: str) -> str:
    """The row's label, or the true one if the label would equate two lengths."""
    kind = "present.encoder" if name.startswith("present.") and ".encoder." in name else name.partition(".")[0]
    if kind == "past_key_values" and (".encoder." in name or ".decoder." in name):
        return label
    theirs, ours = TRUE_LABELS.get(feature, {}).get(kind, (None, None))
    return ours if label == theirs and ours else label


def test_the_documented_architectures_are_among_those_described_in_alphabetical_order() -> None:
    assert tuple(architectures()) == tuple(sorted(architectures()))
    assert architectures().keys() >= CONTRACT.keys()
    assert len(ROWS) == 80


@pytest.mark.parametrize("model_type", CONTRACT)
def test_every_feature_of_the_contract_is_there_and_in_its_order(model_type: str) -> None:
    assert list(find_architecture(model_type).features) == list(CONTRACT[model_type])


@pytest.mark.parametrize(("model_type", "feature"), ROWS)
def test_a_feature_keeps_the_contract(model_type: str, feature: str) -> None:
    contract = CONTRACT[model_type][feature]
    config = configured(model_type, feature)
    assert config.feature.name == feature
    assert find_architecture(model_type).auto_class(feature) == contract["auto_class"]
    assert config.atol_for_validation == contract["atol"]
    layers = 2
    for ours, theirs in ((config.inputs, spread(contract["inputs"], layers)), (config.outputs, spread(contract["outputs"], layers))):
        assert list(ours) == list(theirs)
        for name, axes in theirs.items():
            assert {axis: ours[name][axis] for axis in axes} == {axis: true_label(feature, name, label) for axis, label in axes.items()}


@pytest.mark.parametrize(("model_type", "feature"), ROWS)
def test_the_dummy_inputs_are_those_that_are_declared_in_the_documented_form(model_type: str, feature: str) -> None:
    config = configured(model_type, feature)
    inputs = config.generate_dummy_inputs(batch_size=3, seq_length=7, framework="pt")
    assert list(dict.fromkeys(name.partition(".")[0] for name in config.inputs)) == list(inputs)
    assert inputs["input_ids"].shape[0] == 3
    for layer in inputs.get("past_key_values", ()):
        assert len(layer) == (4 if "past_key_values.0.encoder.key" in config.inputs else 2)
        assert all(tensor.shape[:2] == (3, 4) and tensor.shape[3] == 8 for tensor in layer)


@pytest.mark.parametrize(
    ("model_type", "longest"),
    [("bert", 40), ("distilbert", 40), ("roberta", 38), ("camembert", 38), ("gpt2", 40), ("bart", 40), ("longformer", 38), ("t5", 512)],
)
def test_the_longest_sequence_is_what_the_position_table_holds(model_type: str, longest: int) -> None:
    assert configured(model_type).max_sequence_length == longest


def test_a_configuration_changes_nothing_of_a_checkpoint_but_whether_it_gives_its_cache() -> None:
    assert configured("gpt2", "sequence-classification").values_override == {"use_cache": False}
    assert configured("gpt2", "causal-lm-with-past").values_override == {"use_cache": True}


@pytest.mark.parametrize(
    ("model_type", "written_by", "message", "hint"),
    [
        ("gpt5", "", "transformers [0-9.]+ does not know it$", "install a version of transformers that has it"),
        ("gpt5", "4.1.0", "does not know it$", "install a version"),
        ("gpt5", "99.1", "and its config.json was written by 99.1$", "install that version"),
        ("gpt5", "no version", "does not know it$", "install a version"),
        ("nezha", "", "has it no more, and 4.57 was the last that had$", "another architecture"),
        ("sam_hq_vision_model_of_nobody", "", "does not know it$", "install a version"),
    ],
)
def test_an_unknown_architecture_is_told_with_the_version_that_has_it_where_that_is_known(
    model_type: str, written_by: str, message: str, hint: str
) -> None:
    with pytest.raises(NotSupportedError, match=f"'{model_type}' is not supported: .*{message}") as caught:
        find_architecture(model_type, written_by)
    assert hint in caught.value.hint


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
    assert find_architecture("bert").onnx_config(tiny_config("bert"), task).task == feature


def test_no_name_stands_for_two_features() -> None:
    names = [name for feature in FEATURES.values() for name in (feature.name, *feature.synonyms)]
    assert len(names) == len(set(names))


def test_no_class_ending_stands_for_two_features() -> None:
    heads = [head for feature in FEATURES.values() for head in feature.heads]
    assert len(heads) == len(set(heads))


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_class_that_a_checkpoint_was_saved_from_tells_its_feature(row: tuple[str, str]) -> None:
    model_type, feature = row
    mapping = getattr(transformers, find_architecture(model_type).auto_class(feature))._model_mapping
    name = mapping[type(tiny_config(model_type))].__name__
    assert find_architecture(model_type).choose_feature(None, [name]) == FEATURES[feature].task


def test_what_is_asked_for_goes_before_what_the_checkpoint_was_trained_for() -> None:
    assert find_architecture("bert").choose_feature("fill-mask", ["BertModel"]) == "masked-lm"
    assert find_architecture("bert").choose_feature(None, []) == "default"


@pytest.mark.parametrize("name", ["BertForNextSentencePrediction", "Something", "BertForConditionalGeneration"])
def test_a_checkpoint_of_a_head_that_is_no_feature_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(NotSupportedError, match=f"names a {name}, which matches none of the features of BERT") as caught:
        find_architecture("bert").choose_feature(None, [name])
    assert "masked-lm" in caught.value.hint


def test_a_class_of_no_known_ending_has_no_feature() -> None:
    assert feature_of_class("BertForNextSentencePrediction") is None


# --- installed packages -------------------------------------------------------------------------------------------------

OTHER = Architecture(name="Other", model_type="other", features=("default",), onnx_config=find_architecture("bert").onnx_config)
NOT_AN_ARCHITECTURE = "other"


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Lets a package have an entry point: `install("other", "some.module:OTHER")`."""

    def add(name: str, value: str) -> None:
        point = EntryPoint(name=name, value=value, group=registry.ENTRY_POINTS)
        monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == registry.ENTRY_POINTS else [])
        _forget()

    yield add
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    for cached in (registry._of_packages, registry.ready_made, registry._load, registry.architectures):
        cached.cache_clear()


def test_an_installed_package_adds_an_architecture(install: Callable[[str, str], None]) -> None:
    install("other", f"{__name__}:OTHER")
    assert find_architecture("other").name == "Other"
    assert "other" in architectures()


@pytest.mark.parametrize("value", ["no.such.module:OTHER", f"{__name__}:MISSING", f"{__name__}:NOT_AN_ARCHITECTURE"])
def test_a_package_whose_architecture_is_none_is_told_by_name(install: Callable[[str, str], None], value: str) -> None:
    install("other", value)
    with pytest.raises(NotSupportedError, match="'other'"):
        find_architecture("other")
    assert find_architecture("bert").name == "BERT"


def test_a_package_whose_architecture_is_none_hides_no_other(
    install: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    install("other", "no.such.module:OTHER")
    for arguments, code in ((["features", "bert"], 0), (["features"], 1)):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
        assert "masked-lm" in capsys.readouterr().out
    assert converter.onnx.DistilBertOnnxConfig is find_architecture("distilbert").onnx_config
    assert not hasattr(converter.onnx, "NoSuchOnnxConfig")


def test_a_package_does_not_take_the_place_of_an_architecture_of_ours(install: Callable[[str, str], None]) -> None:
    install("bert", f"{__name__}:OTHER")
    assert find_architecture("bert").name == "BERT"


def test_a_helper_file_among_the_families_hides_none_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shared_masks.py").write_text("WIDTH = 8\n")
    before = architectures()
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path)])
    for cached in (registry.ready_made, registry._ready_made, registry.architectures):
        cached.cache_clear()
    try:
        assert architectures() == before
    finally:
        sys.modules.pop(f"{families.__name__}.shared_masks", None)


def test_each_family_has_the_name_of_its_file() -> None:
    for name in [module.name for module in pkgutil.iter_modules(families.__path__)]:
        assert importlib.import_module(f"{families.__name__}.{name}").ARCHITECTURE.model_type == name
