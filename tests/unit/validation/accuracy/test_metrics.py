"""The three ways to say how far a variant is from its checkpoint."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from converter.core.records import AccuracyDrop
from converter.validation.accuracy.metrics import Decisions, Embeddings, LanguageModel
from converter.validation.case_inputs import Inputs

RNG = np.random.default_rng(5)
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])
TEXTS = Inputs("texts", {"batch": 3, "sequence": 4}, {"input_ids": np.arange(12).reshape(3, 4), "attention_mask": MASK})
TOKENS = {0: "batch", 1: "sequence"}


def config(**outputs: dict[int, str]) -> Any:
    """As much of a configuration as a metric looks at."""
    return SimpleNamespace(inputs={"input_ids": TOKENS, "attention_mask": TOKENS}, outputs=outputs)


def measured(metric: Any, name: str, output: np.ndarray, expected: np.ndarray, inputs: Inputs = TEXTS) -> AccuracyDrop:
    metric.add(inputs, {name: output}, {name: expected})
    accuracy_drop: AccuracyDrop = metric.accuracy_drop("texts")
    return accuracy_drop


STATES = RNG.standard_normal((3, 4, 8)).astype(np.float32)


def test_what_is_the_same_loses_nothing() -> None:
    accuracy_drop = measured(Embeddings(config(states=TOKENS), has_neighbours=True), "states", STATES, STATES)
    assert (accuracy_drop.cosine_min, accuracy_drop.cosine_mean, accuracy_drop.neighbours, accuracy_drop.r2) == pytest.approx((1, 1, 1, 1))
    assert accuracy_drop.distance == pytest.approx(0, abs=1e-9)
    assert accuracy_drop.inputs == 3


def test_embeddings_are_means_over_the_tokens_that_are_no_padding() -> None:
    other = STATES.copy()
    other[1, 2:] = 100  # padding
    assert measured(Embeddings(config(states=TOKENS), True), "states", other, STATES).cosine_min == pytest.approx(1)
    other[1, :2] *= -1
    accuracy_drop = measured(Embeddings(config(states=TOKENS), True), "states", other, STATES)
    assert accuracy_drop.cosine_min == pytest.approx(-1)
    assert accuracy_drop.cosine_mean == pytest.approx(1 / 3)


def test_neighbours_that_change_are_seen_where_cosines_hardly_move() -> None:
    expected = np.array([[1, 0.010, 0], [1, 0.014, 0], [1, -0.010, 0]], np.float32)
    output = expected.copy()
    output[1, 1] = -0.013
    accuracy_drop = measured(Embeddings(config(pooled={0: "batch"}), True), "pooled", output, expected)
    assert accuracy_drop.cosine_min > 0.999
    assert accuracy_drop.neighbours == 0
    assert accuracy_drop.r2 is not None
    assert accuracy_drop.r2 < 0.5


def test_texts_that_are_alike_have_neighbours_that_are_alike() -> None:
    expected = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    inputs = Inputs("texts", {}, {"input_ids": np.zeros((4, 1))})
    output = expected + np.array([[0], [1e-8], [0], [0]], np.float32)
    assert measured(Embeddings(config(pooled={0: "batch"}), True), "pooled", output, expected, inputs).neighbours == 1


def test_among_random_inputs_nobody_has_neighbours_and_a_number_has_no_direction() -> None:
    assert measured(Embeddings(config(states=TOKENS), False), "states", STATES, STATES).neighbours is None
    both = Embeddings(config(pooled={0: "batch"}, score={0: "batch"}), False)
    pooled, score = STATES[:, 0], STATES[:, 0, :1]
    both.add(TEXTS, {"pooled": pooled, "score": -score}, {"pooled": pooled, "score": score})
    assert both.accuracy_drop("texts").cosine_min == pytest.approx(1)


LOGITS = np.array([[2.0, 1, 0], [0, 1, 2], [0.1, 0, -1]], np.float32)


def test_a_decision_that_flips_is_counted_with_the_lead_that_it_had() -> None:
    output = LOGITS.copy()
    output[2] = [0, 0.1, -1]
    accuracy_drop = measured(Decisions(config(logits={0: "batch"})), "logits", output, LOGITS)
    p = np.exp(LOGITS[2]) / np.exp(LOGITS[2]).sum()
    assert accuracy_drop.agreement == pytest.approx(2 / 3)
    assert accuracy_drop.decisions == 3
    assert accuracy_drop.flipped_margin == pytest.approx(p[0] - p[1], abs=1e-6)


def test_a_constant_answer_has_no_spread_however_often_it_is_right() -> None:
    expected = np.array([[3.0, 0], [1, 0], [2, 0]], np.float32)
    output = np.tile(expected.mean(axis=0), (3, 1)).astype(np.float32)
    accuracy_drop = measured(Decisions(config(logits={0: "batch"})), "logits", output, expected)
    assert accuracy_drop.agreement == 1
    assert accuracy_drop.r2 == pytest.approx(0, abs=1e-6)


def test_padding_decides_nothing_and_is_no_choice_either() -> None:
    expected = RNG.standard_normal((3, 4)).astype(np.float32)
    output = expected.copy()
    output[1, 3] = 50
    assert measured(Decisions(config(start_logits=TOKENS)), "start_logits", output, expected).agreement == 1
    tokens = RNG.standard_normal((3, 4, 5)).astype(np.float32)
    assert measured(Decisions(config(logits=TOKENS)), "logits", tokens, tokens).decisions == MASK.sum()


def test_one_number_a_text_decides_which_of_two_has_more() -> None:
    expected = np.array([[1.0], [2.0], [4.0]], np.float32)
    higher = measured(Decisions(config(logits={0: "batch"})), "logits", expected * 1.5, expected)
    assert (higher.agreement, higher.decisions) == (1, 3)
    other = measured(Decisions(config(logits={0: "batch"})), "logits", np.array([[1.0], [5.0], [4.0]], np.float32), expected)
    assert other.agreement == pytest.approx(2 / 3)
    constant = measured(Decisions(config(logits={0: "batch"})), "logits", np.ones_like(expected), expected)
    assert constant.agreement == 0


def test_what_is_no_number_agrees_with_nothing() -> None:
    accuracy_drop = measured(Decisions(config(logits={0: "batch"})), "logits", np.full_like(LOGITS, np.nan), LOGITS)
    assert accuracy_drop.agreement == 0
    assert accuracy_drop.distance != accuracy_drop.distance
    bad = measured(Embeddings(config(states=TOKENS), True), "states", np.full_like(STATES, np.nan), STATES)
    assert bad.cosine_min != bad.cosine_min


def test_a_language_model_is_measured_at_each_token_after_the_first_that_is_no_padding() -> None:
    tokens = np.array([[0, 1, 2, 3], [1, 2, 0, 0], [3, 2, 1, 0]])
    inputs = Inputs("texts", {}, {"input_ids": tokens, "attention_mask": MASK})
    expected = RNG.standard_normal((3, 4, 4)).astype(np.float32)
    metric = LanguageModel(config(logits=TOKENS), "input_ids")
    accuracy_drop = measured(metric, "logits", expected, expected, inputs)
    assert (accuracy_drop.agreement, accuracy_drop.decisions, accuracy_drop.inputs) == (1, 3 + 1 + 2, 3)
    shifted = expected - expected.max(axis=-1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    nll = [-logp[row, place - 1, tokens[row, place]] for row in range(3) for place in range(1, 4) if MASK[row, place]]
    assert accuracy_drop.perplexity == accuracy_drop.reference_perplexity == pytest.approx(np.exp(np.mean(nll)), rel=1e-5)


def test_a_language_model_that_finds_the_text_less_likely_has_a_higher_perplexity() -> None:
    inputs = Inputs("texts", {}, {"input_ids": np.array([[0, 1, 1, 1]]), "attention_mask": np.ones((1, 4), np.int64)})
    expected = np.zeros((1, 4, 2), np.float32)
    expected[..., 1] = 2
    accuracy_drop = measured(LanguageModel(config(logits=TOKENS), "input_ids"), "logits", -expected, expected, inputs)
    assert accuracy_drop.agreement == 0
    assert accuracy_drop.perplexity is not None
    assert accuracy_drop.reference_perplexity is not None
    assert accuracy_drop.perplexity > 5 * accuracy_drop.reference_perplexity
    assert accuracy_drop.perplexity_change == pytest.approx(accuracy_drop.perplexity / accuracy_drop.reference_perplexity - 1)
