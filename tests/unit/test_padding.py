"""Inputs are padded to the shape of an artifact, and its outputs cut back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.core.errors import ConverterError, InputError
from converter.core.records import Bucket, Signature, TensorSpec
from converter.padding import choose, cut, pad


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
    spec, before = signature(fixed=fixed), inputs(batch, length)
    padded = pad(before, spec)
    assert padded["input_ids"].shape == (fixed.get("batch", batch), fixed.get("sequence", length))
    assert padded["attention_mask"].sum(axis=1).tolist() == [length] * len(padded["input_ids"])
    outputs = {
        "logits": np.repeat(padded["input_ids"][..., None].astype(np.float32), 7, axis=-1),
        "pooled": np.ones((len(padded["input_ids"]), 7), np.float32),
    }
    after = cut(outputs, before, spec)
    assert np.array_equal(after["logits"][..., 0], before["input_ids"])
    assert after["pooled"].shape == (batch, 7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_ids": np.ones((2, 9), int)}, "input_ids is 9 long along sequence, and the artifact takes 5 at most"),
        ({"input_ids": np.ones((4, 3), int)}, "input_ids is 4 long along batch, and the artifact takes 3 at most"),
        ({"input_ids": np.ones(3, int)}, "input_ids has 1 axes and not 2"),
        ({"input_ids": np.ones((0, 3), int)}, "input_ids is empty along batch"),
    ],
)
def test_what_does_not_fit_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        pad({**inputs(2, 3), **changes}, signature(fixed={"batch": 3, "sequence": 5}))
    assert raised.value.hint
    assert isinstance(raised.value, ValueError) and isinstance(raised.value, ConverterError)


def test_a_missing_input_is_told_with_those_that_are_wanted() -> None:
    with pytest.raises(InputError, match="there is no bbox, attention_mask among the inputs") as raised:
        pad({"input_ids": np.ones((1, 1), int)}, signature(fixed={}))
    assert raised.value.hint == "give: input_ids, bbox, attention_mask"


def test_a_length_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="an axis has a length of at least 1"):
        signature(fixed={"batch": 0})


# --- several shapes ---------------------------------------------------------------------------------------------------

LENGTHS = (4, 8, 32)


def bucketed(batch: int | None = 2) -> Signature:
    """Three buckets of two texts each, or, without a batch, of any number."""
    shapes = [{**({"batch": batch} if batch else {}), "sequence": length} for length in LENGTHS]
    buckets = tuple(Bucket(file=f"{shape['sequence']}.neuron", fixed=shape) for shape in shapes)
    return signature(fixed=shapes[-1]).model_copy(update={"buckets": buckets})


@given(st.integers(1, 2), st.integers(1, 32))
def test_the_smallest_bucket_that_takes_the_texts_is_chosen_and_filled(batch: int, length: int) -> None:
    texts = inputs(batch, length)
    bucket = choose(texts, bucketed())
    assert bucket.fixed["sequence"] == min(size for size in LENGTHS if size >= length)
    padded = pad(texts, bucketed())
    assert padded["input_ids"].shape == (2, bucket.fixed["sequence"])
    outputs = {"logits": np.zeros((2, bucket.fixed["sequence"], 7)), "pooled": np.zeros((2, 7))}
    kept = cut(outputs, texts, bucketed())
    assert (kept["logits"].shape, kept["pooled"].shape) == ((batch, length, 7), (batch, 7))


@given(st.integers(1, 9), st.integers(1, 32))
def test_a_batch_of_any_size_stays_as_it_is(batch: int, length: int) -> None:
    texts = inputs(batch, length)
    assert pad(texts, bucketed(None))["input_ids"].shape == (batch, choose(texts, bucketed(None)).fixed["sequence"])


@pytest.mark.parametrize(
    ("shape", "message"), [((1, 33), "33 long along sequence, and the artifact takes 32"), ((3, 1), "3 long along batch")]
)
def test_texts_that_no_bucket_takes_are_told(shape: tuple[int, int], message: str) -> None:
    for function in (choose, pad):
        with pytest.raises(InputError, match=message):
            function(inputs(*shape), bucketed())


def test_an_artifact_of_one_file_has_no_bucket_to_choose() -> None:
    with pytest.raises(LookupError, match="it is one file"):
        choose(inputs(1, 2), signature(fixed={"sequence": 4}))


def test_an_output_is_cut_along_an_axis_that_has_another_name_than_its_input() -> None:
    """As BART's decoder alone has it."""
    spec = signature(fixed={"sequence": 8})
    logits = TensorSpec(name="logits", dtype="float32", shape=("batch", "other", 7))
    spec = spec.model_copy(update={"outputs": (logits,), "equal": {"other": "sequence"}})
    assert cut({"logits": np.zeros((2, 8, 7))}, inputs(2, 3), spec)["logits"].shape == (2, 3, 7)
