"""What misses the tolerance passes if it is as near to float64 as PyTorch float32 is: pooled, and case by case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.architectures import OnnxConfig, find_architecture
from converter.checkpoints.loading import load_model
from converter.core.records import Case, Comparison, Exactness, Generation
from converter.core.typing import Array
from converter.validation.case_inputs import InputGenerator, Inputs
from converter.validation.exactness import accepted, measure_exactness, widened
from converter.validation.reference import Reference
from converter.validation.tolerance import Tolerance

OUTPUT = "logits"


class MadeUpErrors:
    """A double of a session: it gives the checkpoint's results in float64, and errors of a chosen size in float32."""

    signature = property(lambda self: self)
    fixed: Mapping[str, int] = {}

    def __init__(self, exact: Reference, error: Callable[[Array], Array]) -> None:
        self._exact, self._error = exact, error

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {name: (true + self._error(true)).astype(np.float32) for name, true in self._exact.run(arrays).items()}


@pytest.fixture(scope="module")
def model(tiny: Callable[..., Path]) -> tuple[Reference, OnnxConfig]:
    loaded = load_model(tiny("bert", "AutoModelForMaskedLM"), "AutoModelForMaskedLM", "float32")
    config = find_architecture("bert").configure(loaded.config, "masked-lm")
    return Reference(loaded, tuple(config.outputs)), config


@pytest.fixture(scope="module")
def inputs(model: tuple[Reference, OnnxConfig]) -> list[Inputs]:
    generator = InputGenerator(model[1], "float32", None, np.random.default_rng(0), ())
    return [*generator.grid(), generator.longest_case()]


@pytest.fixture(scope="module")
def rms_error(model: tuple[Reference, OnnxConfig], inputs: list[Inputs]) -> float:
    """PyTorch float32's own root mean square error, as the comparison measures it for a perfect artifact."""
    reference, config = model
    ((judged,), _) = measure_exactness(inputs, [OUTPUT], MadeUpErrors(reference.in_float64([OUTPUT]), np.zeros_like), reference, config)
    assert judged.rms_error < judged.rms_reference_error  # except for the last rounding
    return judged.rms_reference_error


def judge(
    model: tuple[Reference, OnnxConfig], inputs: list[Inputs], error: Callable[[Array], Array]
) -> tuple[Exactness, list[dict[str, Array]]]:
    reference, config = model
    session: Any = MadeUpErrors(reference.in_float64([OUTPUT]), error)
    (judged,), leads = measure_exactness(inputs, [OUTPUT], session, reference, config)
    return judged, leads


def noise(size: float) -> Callable[[Array], Array]:
    rng = np.random.default_rng(1)
    return lambda true: rng.normal(scale=size, size=true.shape)


def test_errors_as_large_as_those_of_float32_pass_and_the_ratio_tells_them(
    model: tuple[Reference, OnnxConfig], inputs: list[Inputs], rms_error: float
) -> None:
    judged, _ = judge(model, inputs, noise(rms_error))
    assert judged.passed and 0.8 < judged.ratio < 1.6, judged


def test_errors_ten_times_as_large_are_refused(model: tuple[Reference, OnnxConfig], inputs: list[Inputs], rms_error: float) -> None:
    """The floor of a few units of the last place is at most float32's own error here."""
    judged, _ = judge(model, inputs, noise(10 * rms_error))
    assert not judged.passed and judged.rms_error > judged.rms_bound and judged.max_error > judged.max_bound, judged


def test_one_wrong_number_among_all_is_refused(model: tuple[Reference, OnnxConfig], inputs: list[Inputs], rms_error: float) -> None:
    def error(true: Array) -> Array:
        wrong = np.zeros_like(true)
        if len(true) == 7:  # two tokens, seven rows
            wrong[0, 0, 5] = 60 * rms_error
        return wrong

    judged, _ = judge(model, inputs, error)
    assert not judged.passed
    assert judged.max_error > judged.max_bound and judged.rms_error <= judged.rms_bound, judged


def test_one_bad_case_among_good_ones_is_refused_by_its_own_bound(
    model: tuple[Reference, OnnxConfig], inputs: list[Inputs], rms_error: float
) -> None:
    """No number of it is beyond the bound of one number, and all others make up for its root mean square."""
    good, _ = judge(model, inputs, noise(rms_error))

    def error(true: Array) -> Array:
        return np.where(np.indices(true.shape).sum(axis=0) % 2, 1.0, -1.0) * (0.9 * good.max_bound if true.shape[1] == 1 else 0)

    judged, _ = judge(model, inputs, error)
    assert judged.max_error <= judged.max_bound and judged.rms_error <= judged.rms_bound, judged
    assert judged.worst_case > 1 and not judged.passed, judged


def test_a_case_of_a_few_numbers_is_not_judged_alone(tiny: Callable[..., Path], rms_error: float) -> None:
    """With three logits a row PyTorch may be right by luck."""
    loaded = load_model(tiny("bert", "AutoModelForSequenceClassification"), "AutoModelForSequenceClassification", "float32")
    config = find_architecture("bert").configure(loaded.config, "sequence-classification")
    reference = Reference(loaded, tuple(config.outputs))
    generator = InputGenerator(config, "float32", None, np.random.default_rng(0), ())
    judged, _ = judge((reference, config), [*generator.grid(), generator.longest_case()], noise(0))
    assert judged.passed and judged.worst_case == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, -1])
def test_what_is_no_number_never_passes(value: float, place: int, model: tuple[Reference, OnnxConfig], inputs: list[Inputs]) -> None:
    def error(true: Array) -> Array:
        wrong = np.zeros_like(true)
        wrong.flat[place if len(true) == 2 else 0] = value if len(true) == 2 else 0
        return wrong

    judged, _ = judge(model, inputs, error)
    assert not judged.passed, judged


def test_what_is_no_number_is_not_forgotten_with_the_next_block(
    model: tuple[Reference, OnnxConfig], inputs: list[Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    from converter.validation import exactness

    monkeypatch.setattr(exactness, "_BLOCK", 128)

    def error(true: Array) -> Array:
        wrong = np.zeros_like(true)
        wrong.flat[0] = np.nan
        return wrong

    judged, _ = judge(model, inputs, error)
    assert not judged.passed and np.isnan(judged.max_error) and np.isnan(judged.rms_error)


def test_blocks_add_up_to_the_whole(model: tuple[Reference, OnnxConfig], inputs: list[Inputs], monkeypatch: pytest.MonkeyPatch) -> None:
    from converter.validation import exactness

    whole, _ = judge(model, inputs, noise(1e-6))
    monkeypatch.setattr(exactness, "_BLOCK", 1000)
    parts, _ = judge(model, inputs, noise(1e-6))
    assert parts.max_error == whole.max_error and parts.rms_error == pytest.approx(whole.rms_error)


class AfterTheCheckpoint:
    """A double of a reference, whose last numbers are as a mask of the smallest float makes them, in its own type."""

    def __init__(self, reference: Reference, masked: tuple[float, float]) -> None:
        self._reference, self._masked, self.model = reference, masked, reference.model

    def run(self, arrays: Mapping[str, Array], names: Any = None) -> dict[str, Array]:
        outputs = {name: array.copy() for name, array in self._reference.run(arrays, names).items()}
        for array in outputs.values():
            array[..., -4:] = self._masked[array.dtype == np.float64]
        return outputs

    def in_float64(self, names: Any) -> AfterTheCheckpoint:
        return AfterTheCheckpoint(self._reference.in_float64(names), self._masked)


LOWEST = (float(np.finfo(np.float32).min), float(np.finfo(np.float64).min))


@pytest.mark.parametrize("masked", [LOWEST, (-np.inf, -np.inf), (-np.inf, LOWEST[1]), (-1e9, -1e9)])
def test_masked_logits_hide_no_error_of_the_others(
    masked: tuple[float, float], model: tuple[Reference, OnnxConfig], inputs: list[Inputs], rms_error: float
) -> None:
    reference: Any = AfterTheCheckpoint(model[0], masked)

    class Artifact(MadeUpErrors):
        def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
            outputs = super().run(arrays)
            for array in outputs.values():
                array[..., -4:] = masked[0]
            return outputs

    for times, passed in ((1, True), (20, False)):
        session: Any = Artifact(model[0].in_float64([OUTPUT]), noise(times * rms_error))
        (judged,), _ = measure_exactness(inputs, [OUTPUT], session, reference, model[1])
        assert judged.passed is passed, judged


def test_a_masked_logit_that_the_artifact_does_not_mask_is_an_error(model: tuple[Reference, OnnxConfig], inputs: list[Inputs]) -> None:
    for masked in (LOWEST, (-np.inf, LOWEST[1]), (-1e9, -1e9)):
        reference: Any = AfterTheCheckpoint(model[0], masked)
        session: Any = MadeUpErrors(model[0].in_float64([OUTPUT]), np.zeros_like)
        (judged,), _ = measure_exactness(inputs, [OUTPUT], session, reference, model[1])
        assert not judged.passed, (masked, judged)


class Wavering(AfterTheCheckpoint):
    """A double of a reference whose float32 is off by a third of its scale, as if it had chosen others of the largest few."""

    def run(self, arrays: Mapping[str, Array], names: Any = None) -> dict[str, Array]:
        outputs = {name: array.copy() for name, array in self._reference.run(arrays, names).items()}
        for array in outputs.values():
            if array.dtype == np.float32:
                array += np.random.default_rng(array.size).normal(scale=array.std() / 3, size=array.shape).astype(np.float32)
        return outputs

    def in_float64(self, names: Any = None) -> Any:
        return self._reference.in_float64(names)


def test_where_float32_itself_is_far_off_an_artifact_may_not_be(model: tuple[Reference, OnnxConfig], inputs: list[Inputs]) -> None:
    scale = float(np.sqrt(np.mean(model[0].run(inputs[0].arrays)[OUTPUT] ** 2)))
    reference: Any = Wavering(model[0], (0, 0))
    for size, passed in ((0.0, True), (scale / 3, False), (scale / 30, False)):
        session: Any = MadeUpErrors(model[0].in_float64([OUTPUT]), noise(size))
        (judged,), _ = measure_exactness(inputs, [OUTPUT], session, reference, model[1])
        assert judged.passed is passed, (size, judged)


def test_padding_is_no_part_of_the_measure(model: tuple[Reference, OnnxConfig], inputs: list[Inputs], rms_error: float) -> None:
    reference, config = model
    padded = [case for case in inputs if case.name in ("padded left", "padded on both sides")]
    masks = iter([case.arrays["attention_mask"] for case in padded])
    judged, _ = judge((reference, config), padded, lambda true: 1e3 * (1.0 - next(masks))[..., None] * np.ones_like(true))
    assert judged.passed and judged.max_error < 100 * rms_error


# the bound from the error


EXACT = Exactness(
    output=OUTPUT, max_error=3e-5, max_reference_error=2e-5, max_bound=8e-5, rms_error=4e-6, rms_reference_error=4e-6, rms_bound=9e-6
)
MISSED = Comparison(
    output=OUTPUT,
    dtype="float32",
    expected_dtype="float32",
    shape=(2, 5, 7),
    expected_shape=(2, 5, 7),
    close=False,
    max_abs_error=5e-5,
    top1_agreement=0.8,
)


def judged_case(exact: Exactness, *leads: float) -> Comparison:
    case = Case(name="case", axes={"batch": 2}, comparisons=(MISSED,))
    (comparison,) = accepted(case, {OUTPUT: exact}, {OUTPUT: np.array(leads)}).comparisons
    return comparison


def test_a_decision_that_flips_within_the_bound_is_a_tie() -> None:
    comparison = judged_case(EXACT, 1e-5, 1.6e-4)
    assert comparison.passed and comparison.exact and not comparison.close
    assert (comparison.top1_ties, comparison.top1_agreement) == (2, 1.0)


@pytest.mark.parametrize("lead", [1.7e-4, 3.0, np.inf, np.nan])
def test_a_decision_that_flips_beyond_the_bound_is_none(lead: float) -> None:
    comparison = judged_case(EXACT, 1e-5, lead)
    assert not comparison.passed
    assert (comparison.top1_ties, comparison.top1_agreement) == (1, 0.9)


def test_what_is_not_as_exact_stays_what_it_was() -> None:
    worse = EXACT.model_copy(update={"rms_error": 1e-4})
    assert judged_case(worse, 1e-5) == MISSED
    for update in ({"max_error": np.nan}, {"rms_error": np.nan}, {"worst_case": np.nan}, {"worst_case": 1.01}, {"max_error": 9e-5}):
        assert not EXACT.model_copy(update=update).passed


def test_an_output_that_nobody_held_against_float64_stays_what_it_was() -> None:
    case = Case(name="case", axes={}, comparisons=(MISSED, MISSED.model_copy(update={"output": "other"})))
    first, second = accepted(case, {OUTPUT: EXACT}, {}).comparisons
    assert first.exact and not second.exact


def test_the_leads_are_where_the_artifact_decides_otherwise_by_float64(model: tuple[Reference, OnnxConfig], inputs: list[Inputs]) -> None:
    def error(true: Array) -> Array:
        wrong = np.zeros_like(true)
        if true.shape[1] == 1:  # the second choice comes to be the first
            first, second = (np.argsort(true[0, 0])[-place] for place in (1, 2))
            wrong[0, 0, second] = 2 * (true[0, 0, first] - true[0, 0, second])
        return wrong

    _, leads = judge(model, inputs, error)
    one = next(place for place, case in enumerate(inputs) if case.name == "one token")
    exact = np.sort(model[0].in_float64([OUTPUT]).run(inputs[one].arrays)[OUTPUT][0, 0])
    assert leads[one][OUTPUT] == pytest.approx([exact[-1] - exact[-2]])
    assert not any(len(lead[OUTPUT]) for place, lead in enumerate(leads) if place != one)


def test_generated_tokens_are_ties_as_far_as_both_may_be_off() -> None:
    generation = Generation(tokens=20, equal=18, ties=1, lost_lead=1.9e-4)
    assert generation.problem
    atol = widened(Tolerance(1e-5, 0), {OUTPUT: EXACT}, OUTPUT).atol
    assert atol == pytest.approx(1e-4)
    assert generation.by(atol).ties == 2 and generation.by(atol).passed
    for lead in (2.1e-4, np.inf, np.nan):
        assert generation.model_copy(update={"lost_lead": lead}).by(atol).problem
    assert Generation(tokens=0, equal=0, error="it does not run").by(atol).problem


def test_the_tolerance_stays_if_the_output_is_not_as_exact() -> None:
    tolerance = Tolerance(1e-5, 1e-5)
    worse = EXACT.model_copy(update={"rms_error": 1e-4})
    assert widened(tolerance, {OUTPUT: worse}, OUTPUT) == widened(tolerance, {}, OUTPUT) == tolerance
    assert widened(replace(tolerance, atol=1.0), {OUTPUT: EXACT}, OUTPUT).atol == 1.0  # never a narrower one


def test_a_sentence_says_which_rule_decided() -> None:
    exact = EXACT.model_copy(update={"rms_error": 0.99 * EXACT.rms_reference_error})
    assert exact.sentence(2.4e-4, 1e-4) == (
        "max error 2.4e-04 > 0.0001, but as exact as PyTorch float32 (0.99 x its error against float64)"
    )
    worse = EXACT.model_copy(update={"rms_error": 12 * EXACT.rms_reference_error})
    assert worse.sentence(2.4e-4, 1e-4) == "max error 2.4e-04 > 0.0001, and 12 x PyTorch float32's error against float64"
