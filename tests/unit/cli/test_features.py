"""`converter features`: the list of features."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converter.architectures import architectures, known_types
from tests.support.samples import save_checkpoint

Run = Callable[..., Any]


@pytest.mark.torch
def test_without_a_model_every_architecture_is_listed(converter: Run) -> None:
    result = converter("features")
    assert result.code == 0
    header, *lines, others = result.out.splitlines()
    assert header.split("  ")[0] == "model type"
    assert [line.split()[0] for line in lines] == list(architectures())
    assert others.startswith(f"The configurations of {len(known_types() - architectures().keys())} other model types are inferred")


@pytest.mark.torch
def test_a_model_type_that_nobody_has_described_has_the_features_of_its_heads(converter: Run) -> None:
    lines = converter("features", "xlm-roberta").out.splitlines()[1:]
    assert lines[1].split() == ["masked-lm", "AutoModelForMaskedLM", "fill-mask"]
    assert "object-detection" in converter("features", "detr").out
    assert ["automatic-speech-recognition-with-past", "AutoModelForSpeechSeq2Seq"] in [
        line.split() for line in converter("features", "whisper").out.splitlines()
    ]
    assert "automatic-speech-recognition-with-past" not in converter("features", "wav2vec2").out


@pytest.mark.torch
@pytest.mark.parametrize(("model_type", "message"), [("nezha", "4.57 was the last that had"), ("vitpose", "supports none of the features")])
def test_a_model_type_that_cannot_be_exported_is_told_why_without_a_look_at_the_hub(converter: Run, model_type: str, message: str) -> None:
    result = converter("features", model_type)
    assert (result.code, result.out) == (1, "")
    assert message in result.err


@pytest.mark.torch
def test_a_model_types_features_come_with_their_class_and_synonyms(converter: Run) -> None:
    lines = converter("features", "bert").out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(architectures()["bert"].features)
    assert lines[1].split() == ["masked-lm", "AutoModelForMaskedLM", "fill-mask"]


def test_a_checkpoint_stands_for_its_model_type(converter: Run, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "ours", {"model_type": "distilbert"})
    assert converter("features", tmp_path / "ours").out == converter("features", "distilbert").out


@pytest.mark.torch
@pytest.mark.parametrize("model", [None, "roberta"])
def test_json_is_one_document_of_the_same(converter: Run, model: str | None) -> None:
    document = json.loads(converter("features", *([model] if model else []), "--json").out)
    names = [model] if model else list(architectures())
    assert document == {name: list(architectures()[name].features) for name in names}


def test_quiet_says_nothing(converter: Run) -> None:
    assert converter("features", "--quiet").out == ""


@pytest.mark.torch
def test_an_architecture_that_is_not_supported_is_told_with_exit_code_1(converter: Run, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "ours", {"model_type": "unheard-of"})
    result = converter("features", tmp_path / "ours")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: the architecture 'unheard-of' is not supported: transformers ")
    assert "does not know it\n  to do: install a version of transformers that has it" in result.err
