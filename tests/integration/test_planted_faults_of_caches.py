"""A model with its cache: its generation, and ties. `tests/planted` plants the faults."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from converter.architectures import find_architecture
from converter.backends.onnx.options import OnnxOptions
from converter.backends.onnx.session import OnnxSession
from converter.backends.session import Session
from converter.checkpoints.loading import load_model
from converter.core.records import Outcome, Verdict
from converter.validation.reference import Reference
from converter.validation.validate import validate


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., Path]) -> Iterator[tuple[Path, Path]]:
    """A checkpoint and its artifact."""
    from converter.onnx import FeaturesManager, export

    checkpoint, folder = tiny("gpt2", "AutoModelForCausalLM"), tmp_path_factory.mktemp("good")
    model = load_model(checkpoint, "AutoModelForCausalLM", "float32", "eager").module
    export(None, model, FeaturesManager.get_config("gpt2", "causal-lm-with-past")(model.config), None, folder / "model.onnx")
    yield checkpoint, folder / "model.onnx"


def _validate(checkpoint: Path, session: Session) -> Verdict:
    model = load_model(checkpoint, "AutoModelForCausalLM", "float32")
    config = find_architecture("gpt2").configure(model.config, "causal-lm-with-past")
    return validate(session, Reference(model, tuple(config.outputs)), config, None, OnnxOptions(profile="documented"))


def test_a_good_artifact_is_called_good(good: tuple[Path, Path]) -> None:
    checkpoint, path = good
    verdict = _validate(checkpoint, OnnxSession(path))
    assert verdict.passed, verdict.first_problem
    assert verdict.generation and (verdict.generation.tokens, verdict.generation.equal) == (12, 12)


class Nudged:
    """A real session whose logits for one token are raised by a little, at every position."""

    def __init__(self, session: OnnxSession, token: int, by: float) -> None:
        self._session, self._token, self._by = session, token, by
        self.runtime, self.signature, self.weights, self.close = session.runtime, session.signature, session.weights, session.close
        self.unrunnable, self.notes, self.time = session.unrunnable, session.notes, session.time
        self.tokens_apart, self.changes, self.has_all_weights = session.tokens_apart, session.changes, session.has_all_weights

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        outputs = dict(self._session.run(inputs))
        outputs["logits"] = outputs["logits"].copy()
        outputs["logits"][..., self._token] += np.float32(self._by)
        return outputs


@pytest.mark.parametrize(("token", "by", "case"), [(8, 1e-6, "a tie"), (9, 100.0, "another token")])
def test_a_token_that_differs_by_a_tie_is_told_as_one_and_another_is_a_failure(
    token: int, by: float, case: str, convert: Callable[..., Outcome], tiny: Callable[..., Path], tmp_path: Path
) -> None:
    """Two tokens with one embedding have one logit: which of them is chosen is a matter of the last bit."""
    checkpoint = shutil.copytree(tiny("gpt2", "AutoModelForCausalLM"), tmp_path / "checkpoint")
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    with torch.no_grad():
        embeddings = model.transformer.wte.weight
        embeddings[8] = embeddings[7] = 3 * embeddings[7]
        model.transformer.ln_f.bias += 2 * embeddings[7]  # so that these two tokens are chosen
    model.save_pretrained(checkpoint)
    outcome = convert(checkpoint, feature="causal-lm-with-past")
    assert outcome.status == "converted", outcome.failure
    verdict = _validate(checkpoint, Nudged(OnnxSession(Path(outcome.destination) / "model.onnx"), token, by))
    generation = verdict.generation
    assert generation and generation.equal < generation.tokens
    if case == "a tie":
        assert generation.ties == generation.tokens - generation.equal and verdict.passed, verdict.first_problem
    else:
        assert generation.ties == 0 and "tokens that it generates are not the checkpoint's" in generation.problem and not verdict.passed
