"""The check of a model with its cache can fail too: each fault that is planted in a good artifact is found, by figures alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import transformers
from onnx import helper

from converter.architectures import find_architecture
from converter.backends import Session
from converter.backends.onnx import OnnxOptions
from converter.backends.onnx.session import OnnxSession
from converter.checkpoints.loading import load_model
from converter.records import Outcome, Verdict
from converter.validation import validate
from converter.validation.reference import Reference

Plant = Callable[[onnx.ModelProto], None]


def swap_inputs(one: str, other: str) -> Plant:
    """What goes in as one is used as the other."""

    def plant(model: onnx.ModelProto) -> None:
        swapped = {one: other, other: one}
        for node in model.graph.node:
            node.input[:] = [swapped.get(name, name) for name in node.input]

    return plant


def swap_outputs(one: str, other: str) -> Plant:
    """What is one comes out as the other."""

    def plant(model: onnx.ModelProto) -> None:
        for value in (one, other):
            model.graph.node.append(helper.make_node("Identity", [f"{value} inside"], [other if value == one else one]))
        for node in list(model.graph.node)[:-2]:
            node.input[:] = [f"{name} inside" if name in (one, other) else name for name in node.input]
            node.output[:] = [f"{name} inside" if name in (one, other) else name for name in node.output]

    return plant


def see_all_of_the_past(model: onnx.ModelProto) -> None:
    """A mask of ones in the place of the one that is given, but for the newest token."""
    for node in model.graph.node:
        node.input[:] = ["seen" if name == "attention_mask" else name for name in node.input]
    nodes = [
        helper.make_node("Constant", [], ["last"], value=helper.make_tensor("last", onnx.TensorProto.INT64, [1], [-1])),
        helper.make_node("Constant", [], ["end"], value=helper.make_tensor("end", onnx.TensorProto.INT64, [1], [2**31])),
        helper.make_node("Constant", [], ["one"], value=helper.make_tensor("one", onnx.TensorProto.INT64, [1], [1])),
        helper.make_node("Constant", [], ["zero"], value=helper.make_tensor("zero", onnx.TensorProto.INT64, [1], [0])),
        helper.make_node("Slice", ["attention_mask", "zero", "last", "one"], ["before"]),
        helper.make_node("Slice", ["attention_mask", "last", "end", "one"], ["newest"]),
        helper.make_node("Mul", ["before", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "one"], ["all"]),
        helper.make_node("Concat", ["all", "newest"], ["seen"], axis=1),
    ]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)


def call_the_past_as_long_as_what_comes_out(model: onnx.ModelProto) -> None:
    for value in model.graph.input:
        if value.name.startswith("past_key_values."):
            value.type.tensor_type.shape.dim[2].dim_param = "past_sequence + sequence"


FAULTS: dict[str, Plant] = {
    "the key and the value that go in": swap_inputs("past_key_values.0.key", "past_key_values.0.value"),
    "the layers that go in": swap_inputs("past_key_values.0.key", "past_key_values.1.key"),
    "the key and the value that come out": swap_outputs("present.1.key", "present.1.value"),
    "the layers that come out": swap_outputs("present.0.value", "present.1.value"),
    "the mask of the past": see_all_of_the_past,
    "the name of the past's axis": call_the_past_as_long_as_what_comes_out,
}


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
    return validate(session, Reference(model, tuple(config.outputs)), config, None, OnnxOptions())


def test_a_good_artifact_is_called_good(good: tuple[Path, Path]) -> None:
    checkpoint, path = good
    verdict = _validate(checkpoint, OnnxSession(path))
    assert verdict.passed, verdict.first_problem
    assert verdict.generation and (verdict.generation.tokens, verdict.generation.equal) == (16, 16)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, good: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, path = good
    model = onnx.load(path)
    FAULTS[fault](model)
    onnx.save(model, tmp_path / "model.onnx")
    assert not _validate(checkpoint, OnnxSession(tmp_path / "model.onnx")).passed


class Nudged:
    """A real session whose logits for one token are raised by a little, at every position."""

    def __init__(self, session: OnnxSession, token: int, by: float) -> None:
        self._session, self._token, self._by = session, token, by
        self.runtime, self.signature, self.weights, self.close = session.runtime, session.signature, session.weights, session.close
        self.unrunnable, self.notes, self.time = session.unrunnable, session.notes, session.time
        self.tokens_apart, self.changes, self.has_all_weights = session.tokens_apart, session.changes, session.has_all_weights

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        found = dict(self._session.run(inputs))
        found["logits"] = found["logits"].copy()
        found["logits"][..., self._token] += np.float32(self._by)
        return found


@pytest.mark.parametrize(("token", "by", "told"), [(8, 1e-6, "a tie"), (9, 100.0, "another token")])
def test_a_token_that_differs_by_a_tie_is_told_as_one_and_another_is_a_failure(
    token: int, by: float, told: str, convert: Callable[..., Outcome], tiny: Callable[..., Path], tmp_path: Path
) -> None:
    """Two tokens with one embedding have one logit: which of them is chosen is a matter of the last bit."""
    checkpoint = shutil.copytree(tiny("gpt2", "AutoModelForCausalLM"), tmp_path / "checkpoint")
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    with torch.no_grad():
        embeddings = model.transformer.wte.weight
        embeddings[8] = embeddings[7] = 3 * embeddings[7]
        model.transformer.ln_f.bias += 2 * embeddings[7]  # so that these two are what it says
    model.save_pretrained(checkpoint)
    outcome = convert(checkpoint, feature="causal-lm-with-past")
    assert outcome.status == "converted", outcome.failure
    verdict = _validate(checkpoint, Nudged(OnnxSession(Path(outcome.destination) / "model.onnx"), token, by))
    found = verdict.generation
    assert found and found.equal < found.tokens
    if told == "a tie":
        assert found.ties == found.tokens - found.equal and verdict.passed, verdict.first_problem
    else:
        assert found.ties == 0 and "tokens that it generates are not the checkpoint's" in found.problem and not verdict.passed
