"""A verdict passes if everything was compared and nothing is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from converter.core.records import Case, Influence, Latency, Verdict, WeightCheck
from tests.support.samples import case, comparison, verdict


def test_a_verdict_with_nothing_wrong_passes() -> None:
    assert verdict().passed
    assert verdict().first_problem == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cases": ()}, "nothing was compared"),
        ({"cases": (case(comparison()), case())}, "nothing was compared"),
        ({"problems": ("inputs are none instead of input_ids",)}, "inputs are none"),
        ({"unvalidated": "nothing runs it here"}, "it was not validated: nothing runs it here"),
        ({"cases": (case(comparison()), case(error="it does not run"))}, "it does not run at batch 2, sequence 3 (padded left)"),
        ({"cases": (case(comparison(close=False, max_abs_error=0.5)),)}, "logits differs by 5.0e-01 (atol: 1e-05) at batch 2, sequence 3"),
        ({"cases": (case(comparison(close=False, max_abs_error=float("nan"))),)}, "logits differs by nan"),
        ({"cases": (case(comparison(dtype="float16")),)}, "logits is float16 instead of float32"),
        ({"cases": (case(comparison(shape=(2, 4), close=False, max_abs_error=None)),)}, "logits has shape (2, 4) instead of (2, 3)"),
        ({"cases": (case(comparison(), comparison(top1_agreement=0.75)),)}, "logits decides otherwise in 25.0% of the cases"),
        ({"cases": (case(comparison(top1_agreement=float("nan"))),)}, "logits decides otherwise"),
        ({"influences": (Influence(input="mask", reference_change=1.0, artifact_change=0.0, passed=False),)}, "the input 'mask' matters"),
        (
            {"weights": WeightCheck(compared=4, different=("a.weight", "b.weight"))},
            "2 of its weights are not the checkpoint's, a.weight first",
        ),
        ({"weights": WeightCheck(compared=4, unknown=("c.x",))}, "1 of its large tensors do not come from the checkpoint, c.x first"),
        ({"weights": WeightCheck(compared=4, missing=("a", "b"))}, "2 of the checkpoint's weights are not in it, a first"),
        ({"weights": WeightCheck(compared=4, doubled=("a",))}, "1 of its weights are tied in the checkpoint and stored twice, a first"),
        ({"weights": WeightCheck(compared=4, joined=("a",))}, "1 of its weights share their bytes and were to be stored each for itself"),
    ],
)
def test_a_verdict_with_one_thing_wrong_does_not_pass_and_says_what(changes: dict[str, Any], message: str) -> None:
    wrong = verdict(**changes)
    assert not wrong.passed
    assert message in wrong.first_problem


def test_the_largest_error_and_the_smallest_agreement_are_over_all_cases() -> None:
    record = verdict(
        cases=(
            case(comparison(max_abs_error=1.0), comparison(max_abs_error=None)),
            case(comparison(max_abs_error=2.0, top1_agreement=0.5), comparison(top1_agreement=1.0)),
        )
    )
    assert (record.max_abs_error, record.top1_agreement) == (2.0, 0.5)
    assert (verdict(cases=()).max_abs_error, verdict(cases=()).top1_agreement) == (None, None)


def test_the_lengths_that_were_tried_are_those_of_the_cases_that_passed() -> None:
    def at(batch: int, sequence: int, **changes: Any) -> Case:
        return Case(name="x", axes={"batch": batch, "sequence": sequence}, comparisons=(comparison(**changes),))

    record = verdict(cases=(at(2, 9), at(1, 30), at(7, 50, close=False), at(3, 2)))
    assert record.tried == {"batch": (1, 3), "sequence": (2, 30)}
    assert verdict(cases=()).tried == {}


def test_an_error_that_is_no_number_is_larger_than_any() -> None:
    errors = [case(comparison(max_abs_error=error)) for error in (1.0, float("nan"), float("inf"))]
    assert str(verdict(cases=tuple(errors)).max_abs_error) == "nan"
    assert str(verdict(cases=(errors[0], errors[2])).max_abs_error) == "inf"


def test_infinite_errors_survive_the_record() -> None:
    record = verdict(cases=(case(comparison(close=False, max_abs_error=float("inf"), max_rel_error=float("nan"))),))
    read = Verdict.model_validate_json(record.model_dump_json())
    assert read.max_abs_error == float("inf")
    assert str(read.cases[0].comparisons[0].max_rel_error) == "nan"
    assert "Infinity" not in str(Verdict.model_validate(record.model_dump(mode="json")).max_abs_error)


def test_a_verdict_of_before_latency_was_measured_can_be_read_and_has_none() -> None:
    timed = verdict(latency=Latency(axes={"batch": 2}, seconds=0.001, reference_seconds=0.002, calls=5, threads=1))
    assert Verdict.model_validate_json(timed.model_dump_json()) == timed
    before = json.loads(timed.model_dump_json())
    del before["latency"]
    assert Verdict.model_validate(before) == verdict()


def test_nor_does_a_terminal_obey_the_names_in_a_verdict_that_was_read() -> None:
    named = case(comparison(output="a\u202e", dtype="b\x1b[2J")).model_copy(update={"name": "c"})
    read = Verdict.model_validate_json(verdict(cases=(named,)).model_dump_json().replace('"c"', '"\\u202e"'))
    assert read.first_problem == r"a\u202e is b\x1b[2J instead of float32 at batch 2, sequence 3 (\u202e)"
