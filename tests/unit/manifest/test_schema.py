"""The published JSON Schema: a file that an editor accepts, the reader accepts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from converter.core.records import Entry
from converter.manifest.schema import PUBLISHED, json_schema
from tests.support import settings

VALID_VALUES: dict[str, list[Any]] = {
    "to": ["onnx", ["onnx"]],
    "output": ["some/where", None],
    "feature": ["masked-lm", None],
    "atol": [0.001, 1, None],
    "config": ["mine.py:Mine", None],
    "precision": ["fp32,fp16,q8,q4", ["fp32", "q8"], ["int8"], "checkpoint", "bf16, w8"],
    "dtype": ["float32", "checkpoint", "float16", "bfloat16", "fp32", "fp16", "bf16"],
    "quantize": ["int8", "int8-static", "w8", "q4", "q4f16", None],
    "variants": ["fp32,fp16,q8,q4", ["fp32", "q8"], ["int8"], "bf16, w8"],
    "tier": ["near-lossless", "lossy", "any"],
    "text": ["ours.txt", None],
    "evaluate": ["mine:metric", "some/mine.py:metric", None],
    "allow-pickle": [True, False],
    "drop-weights": [True, False],
    "trust-remote-code": [True, False],
    "opset": [18, None],
    "weights": ["embedded", "shared"],
    "profile": ["documented", "hub"],
    "optimize": ["none", "cpu", "cuda"],
}
ONLY_TORCHSCRIPT: dict[str, list[Any]] = {
    "batch-size": [1, None],
    "decoder-length": [1, None],
    "freeze": [True, False],
    "untie": [True, False],
}
ONLY_NEURON: dict[str, list[Any]] = {
    "target": ["inf1", "inf2", "trn1"],
    "sequence-length": [128, "128,256", [128, 256]],
    "dynamic-batch": [True, False],
    "auto-cast": ["none", "matmult", "all"],
    "auto-cast-type": ["bf16"],
    "compiler-args": ["--optlevel 3"],
    "allow-unvalidated": [True, False],
}
NEEDED_BY_NEURON = {"to": "neuron", "target": "inf2", "batch-size": 1, "sequence-length": 128}
EVERY_VALUE = {**VALID_VALUES, **ONLY_TORCHSCRIPT, **ONLY_NEURON}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_published_schema_is_the_one_that_the_definitions_give() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == json.dumps(json_schema(), indent=2) + "\n", "run make schema"


def test_every_setting_of_the_schema_has_a_value_here() -> None:
    assert set(json_schema()["$defs"]["Settings"]["properties"]) == set(EVERY_VALUE)
    assert set(json_schema()["$defs"]["ModelEntry"]["properties"]) == {*EVERY_VALUE, "model"}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in EVERY_VALUE.items() for value in values])
def test_a_setting_that_the_schema_accepts_is_accepted_by_the_reader(
    validator: Draft202012Validator, entries_of: Callable[..., tuple[Entry, ...]], key: str, value: Any
) -> None:
    needed = {"to": "torchscript"} if key in ONLY_TORCHSCRIPT else NEEDED_BY_NEURON if key in ONLY_NEURON else {}
    settings = {**needed, key: value}
    for document in ({"models": [{"model": "org/a", **settings}]}, {"defaults": settings, "models": ["org/a"]}):
        validator.validate(document)
        assert len(entries_of(yaml.safe_dump(document), "models.yaml")) == 1


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"models": []},
        {"models": [{}]},
        {"models": ["org/a"], "extra": 1},
        {"models": [{"model": "org/a", "attol": 1}]},
        {"models": [{"model": "org/a", "dtype": "int8"}]},
        {"models": [{"model": "org/a", "atol": 0}]},
        {"models": [{"model": "org/a", "opset": 0}]},
        {"models": [{"model": "org/a", "to": "torchscript", "batch-size": 0}]},
        {"models": [{"model": "org/a", "to": ["tflite"]}]},
        {"models": ["org/a"], "defaults": {"model": "org/b"}},
    ],
)
def test_what_the_schema_refuses_is_refused_by_the_reader(
    validator: Draft202012Validator, problems_of: Callable[..., list[Any]], document: dict[str, Any]
) -> None:
    assert not validator.is_valid(document)
    assert problems_of(yaml.safe_dump(document), "models.yaml")


def test_every_setting_is_described() -> None:
    for definition in json_schema()["$defs"].values():
        assert [name for name, setting in definition["properties"].items() if not setting.get("description")] == []


def test_the_table_of_settings_is_the_schema() -> None:
    page = settings.PAGE.read_text(encoding="utf-8")
    assert settings.with_table(page) == page, "python -m tests.support.settings writes it"
