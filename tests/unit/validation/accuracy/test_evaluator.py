"""How a variant is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from converter.architectures import find_architecture
from converter.backends import BACKENDS
from converter.checkpoints.loading import load_model, load_tokenizer
from converter.core.records import Signature, TensorSpec
from converter.core.typing import Array
from converter.validation.accuracy.evaluator import AccuracyEvaluator
from converter.validation.accuracy.texts import Texts
from converter.validation.reference import Reference
from tests.support.checkpoints import save_tiny, save_tokenizer

WORDS = ("using", "a", "runtime", "with", "was", "!", "?")
TEXTS = Texts("texts", *(tuple(" ".join((WORDS * 3)[n + i : n + i + 4 + n % 5]) for n in range(9)) for i in range(3)))


class SameSession:
    """A double of a session: the checkpoint itself, whose outputs `change` may change."""

    runtime, unrunnable, notes = "torch", "", ()

    def __init__(self, reference: Reference, change: Callable[[Array], Array] = lambda array: array) -> None:
        self._reference, self._change = reference, change
        tensor = TensorSpec(name="x", dtype="float32", shape=("batch",))
        self.signature = Signature(inputs=(tensor,), outputs=(tensor,))
        self.seen: list[Mapping[str, Array]] = []

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        self.seen.append(inputs)
        return {name: self._change(array) for name, array in self._reference.run(inputs).items()}


def gauge_of(
    folder: Path, model_type: str, feature: str, tier: Any = "lossy", profile: str = "documented"
) -> tuple[AccuracyEvaluator, Reference]:
    architecture = find_architecture(model_type)
    model = load_model(folder, architecture.auto_class(feature), "float32")
    config = BACKENDS["onnx"].configure(architecture, model, BACKENDS["onnx"].options(feature=feature, profile=profile))
    reference = Reference(model, tuple(config.outputs))
    return AccuracyEvaluator(reference, config, load_tokenizer(folder), TEXTS, tier), reference


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return save_tokenizer(save_tiny(tmp_path / "bert", "bert"), "input_ids", "attention_mask", "token_type_ids")


def test_the_checkpoint_itself_loses_nothing_on_the_texts_that_measure(bert: Path) -> None:
    evaluator, reference = gauge_of(bert, "bert", "default")
    session = SameSession(reference)
    accuracy_drop = evaluator.accuracy_drop(session)  # type: ignore[arg-type]  # as much of a session as it uses
    assert (accuracy_drop.kind, accuracy_drop.inputs, accuracy_drop.of) == ("embeddings", 9, "texts")
    assert (accuracy_drop.cosine_min, accuracy_drop.neighbours) == pytest.approx((1, 1))
    tokenizer: Any = load_tokenizer(bert)
    seen = {tokenizer.decode(row[mask == 1], skip_special_tokens=True) for batch in session.seen for row, mask in rows(batch)}
    assert seen == {tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) for text in TEXTS.final}


def rows(inputs: Mapping[str, Array]) -> Any:
    return zip(inputs["input_ids"], inputs["attention_mask"], strict=True)


def test_a_layer_that_is_chosen_by_other_texts_than_it_is_measured_by(bert: Path) -> None:
    evaluator, reference = gauge_of(bert, "bert", "default")
    chosen, measured = SameSession(reference), SameSession(reference)
    assert evaluator.attempt(chosen) == (True, pytest.approx(0, abs=1e-6))  # type: ignore[arg-type]  # as above
    evaluator.accuracy_drop(measured)  # type: ignore[arg-type]  # as above
    assert evaluator.inputs == 9
    assert len(evaluator.calibration) > 0
    first = [batch["input_ids"].tobytes() for batch in chosen.seen]
    assert not {*first} & {batch["input_ids"].tobytes() for batch in measured.seen}
    assert not {*first} & {batch["input_ids"].tobytes() for batch in evaluator.calibration}


def test_what_is_off_is_not_good_enough_and_what_is_no_number_is_off_the_most(bert: Path) -> None:
    evaluator, reference = gauge_of(bert, "bert", "default", tier="any")
    rng = np.random.default_rng(0)
    noisy = SameSession(reference, lambda array: array + rng.standard_normal(array.shape).astype(np.float32))
    enough, off = evaluator.attempt(noisy)  # type: ignore[arg-type]  # as above
    assert not enough  # any accepts every drop, and still aims at lossy
    assert off > 0.001
    assert evaluator.attempt(SameSession(reference, lambda array: array * np.float32(np.nan))) == (False, float("inf"))  # type: ignore[arg-type]


def test_without_a_tokenizer_it_is_measured_by_random_inputs_and_says_so(tmp_path: Path) -> None:
    evaluator, reference = gauge_of(save_tiny(tmp_path / "bert", "bert"), "bert", "default")
    accuracy_drop = evaluator.accuracy_drop(SameSession(reference))  # type: ignore[arg-type]  # as above
    assert accuracy_drop.of == "random inputs: the checkpoint has no tokenizer"
    assert accuracy_drop.neighbours is None


def test_a_token_that_the_model_does_not_know_in_any_text_makes_all_of_them_useless(bert: Path) -> None:
    tokenizer: Any = load_tokenizer(bert)
    tokenizer.add_tokens(["zebra"] + [f"word{number}" for number in range(200)])  # more than the model's vocabulary has
    architecture = find_architecture("bert")
    model = load_model(bert, architecture.auto_class("default"), "float32")
    config = BACKENDS["onnx"].configure(architecture, model, BACKENDS["onnx"].options(feature="default", profile="documented"))
    texts = Texts("texts", TEXTS.calibration, (*TEXTS.choice, "a word199 !"), TEXTS.final)
    reference = Reference(model, tuple(config.outputs))
    accuracy_drop = AccuracyEvaluator(reference, config, tokenizer, texts, "lossy").accuracy_drop(SameSession(reference))  # type: ignore[arg-type]  # as above
    assert accuracy_drop.of.startswith("random inputs: the tokenizer gives input_ids up to")


@pytest.mark.parametrize(
    ("feature", "auto_class", "kind"),
    [
        ("sequence-classification", "AutoModelForSequenceClassification", "decisions"),
        ("multiple-choice", "AutoModelForMultipleChoice", "decisions"),
        ("question-answering", "AutoModelForQuestionAnswering", "decisions"),
        ("masked-lm", "AutoModelForMaskedLM", "decisions"),
        ("causal-lm", "AutoModelForCausalLM", "language model"),
    ],
)
def test_each_feature_is_measured_by_what_it_is_for(feature: str, auto_class: str, kind: str, tmp_path: Path) -> None:
    folder = save_tokenizer(
        save_tiny(tmp_path / "bert", "bert", auto_class, is_decoder=feature == "causal-lm"), "input_ids", "attention_mask"
    )
    evaluator, reference = gauge_of(folder, "bert", feature)
    accuracy_drop = evaluator.accuracy_drop(SameSession(reference))  # type: ignore[arg-type]  # as above
    assert (accuracy_drop.kind, accuracy_drop.agreement) == (kind, 1)
    assert accuracy_drop.decisions


def test_a_decoder_goes_on_by_what_its_checkpoint_says(tmp_path: Path) -> None:
    folder = save_tokenizer(save_tiny(tmp_path / "t5", "t5", "AutoModelForSeq2SeqLM"), "input_ids", "attention_mask")
    evaluator, reference = gauge_of(folder, "t5", "seq2seq-lm-with-past", profile="hub")
    session = SameSession(reference)
    accuracy_drop = evaluator.accuracy_drop(session)  # type: ignore[arg-type]  # as above
    assert (accuracy_drop.kind, accuracy_drop.agreement, accuracy_drop.decisions) == ("language model", 1, 9 * 16)
    inputs = session.seen[0]
    logits = reference.run(inputs)["logits"]
    assert (logits[:, :-1].argmax(-1) == inputs["decoder_input_ids"][:, 1:]).all()
    assert accuracy_drop.perplexity == pytest.approx(accuracy_drop.reference_perplexity)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
