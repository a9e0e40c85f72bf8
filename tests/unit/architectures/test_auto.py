"""transformers' tables of auto classes, read as text, are those that it has when it is imported."""

from __future__ import annotations

import pytest
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from converter.architectures.auto import LEFT, auto_models, is_later, known_types
from converter.architectures.features import FEATURES

CLASSES = sorted({name for feature in FEATURES.values() for name in feature.auto_classes})


@pytest.mark.parametrize("auto_class", CLASSES)
def test_an_auto_class_has_the_models_that_it_has_when_it_is_imported(auto_class: str) -> None:
    mapping = getattr(modeling_auto, auto_class)._model_mapping._model_mapping
    imported = {name: (classes,) if isinstance(classes, str) else tuple(classes) for name, classes in mapping.items()}
    assert auto_models()[auto_class] == imported
    assert imported


def test_every_model_type_with_a_plain_model_is_known() -> None:
    assert known_types() >= set(modeling_auto.MODEL_MAPPING_NAMES)
    assert len(known_types()) > 600


def test_no_model_type_has_left_that_is_there() -> None:
    assert not {name for types in LEFT.values() for name in types} & set(CONFIG_MAPPING_NAMES)


@pytest.mark.parametrize(
    ("version", "than", "later"),
    [
        ("5.24.0", "5.23.0", True),
        ("5.23.0", "5.23.0", False),
        ("4.57.1", "5.23.0", False),
        ("5.24.0.dev0", "5.23.0", True),
        ("no", "5", False),
    ],
)
def test_a_version_is_later_than_another_as_packages_count(version: str, than: str, later: bool) -> None:
    assert is_later(version, than) is later
