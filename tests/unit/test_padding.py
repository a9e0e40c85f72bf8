"""Inputs are filled up to the shape that an artifact takes, and its outputs cut back to what was asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.errors import ConverterError, InputError
from converter.padding import cut, pad
from converter.records import Signature, TensorSpec


def signature(*, fixed: dict[str, int], choice: bool = False) -> Signature:
    tokens: tuple[int | str, ...] = ("batch", "choice", "sequence") if choice else ("batch", "sequence")
    return Signature(
        inputs=(
            TensorSpec(name="input_ids", dtype="int64", shape=tokens),
            TensorSpec(name="bbox", dtype="int64", shape=(*tokens, 4)),
            TensorSpec(name="attention_mask", dtype="int64", shape=tokens),
        ),
        outputs=(
            TensorSpec(name="logits", dtype="float32", shape=(*tokens, 7)),
            TensorSpec(name="pooled", dtype="float32", shape=("batch", 7)),
        ),
        fixed=fixed,
        padding={"input_ids": 5},
    )


def inputs(*shape: int) -> dict[str, Any]:
    tokens = np.arange(1, 1 + np.prod(shape)).reshape(shape)
    return {"attention_mask": np.ones(shape, int), "input_ids": tokens, "bbox": np.repeat(tokens[..., None], 4, axis=-1), "more": "ignored"}


def test_tokens_are_filled_up_behind_and_a_batch_by_its_last_row() -> None:
    padded = pad(inputs(2, 3), signature(fixed={"batch": 3, "sequence": 5}))
    assert list(padded) == ["input_ids", "bbox", "attention_mask"]
    assert padded["input_ids"].tolist() == [[1, 2, 3, 5, 5], [4, 5, 6, 5, 5], [4, 5, 6, 5, 5]]
    assert padded["attention_mask"].tolist() == [[1, 1, 1, 0, 0]] * 3
    assert padded["bbox"][:, :, 0].tolist() == [[1, 2, 3, 0, 0], [4, 5, 6, 0, 0], [4, 5, 6, 0, 0]]


def test_choices_are_rows_too() -> None:
    padded = pad(inputs(1, 2, 2), signature(fixed={"choice": 4}, choice=True))
    assert padded["input_ids"].tolist() == [[[1, 2], [3, 4], [3, 4], [3, 4]]]
    assert padded["attention_mask"].all()


def test_an_artifact_of_any_shape_gets_its_inputs_as_they_are() -> None:
    given_inputs = inputs(2, 3)
    padded = pad(given_inputs, signature(fixed={}))
    assert all(padded[name] is given_inputs[name] for name in padded)
    outputs = {"logits": np.ones((2, 3, 7))}
    assert cut(outputs, given_inputs, signature(fixed={}))["logits"] is outputs["logits"]


@given(
    batch=st.integers(1, 4),
    length=st.integers(0, 6),
    more_rows=st.integers(0, 3),
    more_tokens=st.integers(0, 5),
    free=st.sampled_from(["batch", "sequence", ""]),
)
def test_what_is_padded_and_cut_is_what_it_was(batch: int, length: int, more_rows: int, more_tokens: int, free: str) -> None:
    fixed = {"batch": batch + more_rows, "sequence": max(1, length + more_tokens)}
    fixed.pop(free, None)
    told, before = signature(fixed=fixed), inputs(batch, length)
    padded = pad(before, told)
    assert padded["input_ids"].shape == (fixed.get("batch", batch), fixed.get("sequence", length))
    assert padded["attention_mask"].sum(axis=1).tolist() == [length] * len(padded["input_ids"])
    outputs = {
        "logits": np.repeat(padded["input_ids"][..., None].astype(np.float32), 7, axis=-1),
        "pooled": np.ones((len(padded["input_ids"]), 7), np.float32),
    }
    after = cut(outputs, before, told)
    assert np.array_equal(after["logits"][..., 0], before["input_ids"])
    assert after["pooled"].shape == (batch, 7)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"input_ids": np.ones((2, 9), int)}, "input_ids is 9 long along sequence, and the artifact takes 5 at most"),
        ({"input_ids": np.ones((4, 3), int)}, "input_ids is 4 long along batch, and the artifact takes 3 at most"),
        ({"input_ids": np.ones(3, int)}, "input_ids has 1 axes and not 2"),
        ({"input_ids": np.ones((0, 3), int)}, "input_ids is empty along batch"),
    ],
)
def test_what_does_not_fit_is_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told) as raised:
        pad({**inputs(2, 3), **changes}, signature(fixed={"batch": 3, "sequence": 5}))
    assert raised.value.hint
    assert isinstance(raised.value, ValueError) and isinstance(raised.value, ConverterError)


def test_a_missing_input_is_told_with_those_that_are_wanted() -> None:
    with pytest.raises(InputError, match="there is no bbox, attention_mask among the inputs") as raised:
        pad({"input_ids": np.ones((1, 1), int)}, signature(fixed={}))
    assert raised.value.hint == "give: input_ids, bbox, attention_mask"


def test_a_length_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="an axis is at least 1 long"):
        signature(fixed={"batch": 0})
