"""Neuron's options, and the values that are refused at once."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from converter.backends.neuron import NeuronOptions
from converter.core.records import Options

NEEDED = {"target": "inf2", "batch_size": 1, "sequence_length": 8}


def options(**more: Any) -> NeuronOptions:
    return NeuronOptions.model_validate({**NEEDED, **more})


@pytest.mark.parametrize(
    ("value", "lengths"),
    [(128, (128,)), ("128", (128,)), ("256,128", (128, 256)), ("128,128, 64", (64, 128)), ([256, 128], (128, 256)), ((7,), (7,))],
)
def test_lengths_are_told_in_any_form_and_kept_from_the_shortest_on(value: Any, lengths: tuple[int, ...]) -> None:
    asked = options(sequence_length=value)
    assert asked.sequence_length == lengths
    assert NeuronOptions.model_validate_json(asked.model_dump_json()) == asked


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"target": "inf3"}, "Input should be 'inf1', 'inf2' or 'trn1'"),
        ({"target": "trn2"}, "Input should be 'inf1', 'inf2' or 'trn1'"),
        ({"batch_size": 0}, "greater than or equal to 1"),
        ({"sequence_length": 0}, "greater than or equal to 1"),
        ({"sequence_length": "8,-1"}, "greater than or equal to 1"),
        ({"sequence_length": "8,"}, "give a number of tokens, or several separated by commas"),
        ({"sequence_length": "eight"}, "give a number of tokens, or several separated by commas"),
        ({"sequence_length": None}, "give a number of tokens, or several separated by commas"),
        ({"sequence_length": ()}, "at least 1 item"),
        ({"feature": "causal-lm-with-past"}, "a trace has no cache; choose causal-lm"),
        ({"target": "inf1", "auto_cast": "all", "auto_cast_type": "tf32"}, "inf1 has no tf32"),
        ({"auto_cast_type": "fp16"}, "nothing is cast; choose the operations with matmult or all"),
        ({"target": "inf1", "batch_size": 2, "dynamic_batch": True}, "inf1 needs a batch size of 1"),
        ({"compiler_args": "--target trn1"}, "--target is not allowed"),
        ({"compiler_args": "--auto-cast=all"}, "--auto-cast is not allowed"),
        ({"compiler_args": "--fast-math all"}, "--fast-math is not allowed"),
        ({"compiler_args": "--output=x"}, "--output is not allowed"),
        ({"compiler_args": "--logfile log.txt"}, "--logfile is not allowed"),
        ({"compiler_args": "--dump-to /etc"}, "'/etc' cannot be passed to the compiler"),
        ({"compiler_args": "--verbose; rm"}, "'--verbose;' cannot be passed to the compiler"),
        ({"compiler_args": "'--optlevel"}, "it cannot be parsed: no closing quotation"),
    ],
    ids=str,
)
def test_what_cannot_be_is_told(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        options(**wrong)
    assert message in str(caught.value)


@pytest.mark.parametrize("missing", NEEDED)
def test_nothing_is_guessed_that_a_compilation_hangs_on(missing: str) -> None:
    with pytest.raises(ValidationError, match="Field required"):
        NeuronOptions.model_validate({name: value for name, value in NEEDED.items() if name != missing})


def test_an_artifact_that_was_not_validated_is_no_success_unless_it_is_allowed() -> None:
    assert not Options().accepts_unvalidated
    assert not options().accepts_unvalidated
    assert options(allow_unvalidated=True).accepts_unvalidated
