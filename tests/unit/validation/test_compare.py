"""How far apart two arrays are, and whether they decide the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.architectures import OnnxConfig
from converter.core.records import Comparison
from converter.validation import compare as compare_module
from converter.validation.compare import compare, kept_positions
from converter.validation.tolerance import Tolerance

INF, NAN = float("inf"), float("nan")
TOKENS = {0: "batch", 1: "sequence"}


class Declared(OnnxConfig):
    """A configuration that declares one output."""

    def __init__(self, axes: dict[int, str], name: str = "logits") -> None:
        super().__init__(config=None)
        self._outputs = {name: axes}

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        return {"attention_mask": TOKENS}

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        return self._outputs


def compared(
    ours: Any,
    theirs: Any,
    kept: Any = True,
    atol: float = 1e-3,
    rtol: float = 1e-3,
    decides: bool = False,
    dtype: str = "float32",
) -> Comparison:
    arrays = (np.array(ours, dtype), np.array(theirs, dtype))
    return compare("logits", *arrays, np.array(kept, bool), Tolerance(atol, rtol), decides)


def test_equal_arrays_are_close_and_without_error() -> None:
    result = compared([[1.0, -2.0]], [[1.0, -2.0]])
    assert result.passed
    assert (result.max_abs_error, result.max_rel_error) == (0.0, 0.0)


def test_the_errors_are_the_largest_and_that_over_the_largest_value() -> None:
    result = compared([1.0, 4.5], [1.25, 4.0], atol=1.0)
    assert (result.close, result.max_abs_error, result.max_rel_error) == (True, 0.5, 0.125)


def test_one_element_off_by_more_than_the_tolerance_is_not_close() -> None:
    assert not compared([0.0] * 999 + [0.0011], [0.0] * 1000).close
    assert compared([0.0] * 999 + [0.0009], [0.0] * 1000).close


def test_the_relative_part_grows_with_the_checkpoints_value_and_not_with_the_artifacts() -> None:
    assert compared([99.9], [100.0], atol=0).close
    assert not compared([1000.0], [0.5], atol=0, rtol=1).close


_VALUES = st.one_of(st.floats(width=32, allow_nan=False), st.sampled_from([INF, -INF, 0.0, -0.0, 1.0, 1.001]))


@given(st.lists(st.tuples(_VALUES, _VALUES), min_size=1), st.sampled_from([0.0, 1e-5, 1.0]), st.sampled_from([0.0, 1e-5, 1.0]))
def test_close_is_what_numpy_calls_close(pairs: list[tuple[float, float]], atol: float, rtol: float) -> None:
    ours, theirs = (np.array(values, np.float64) for values in zip(*pairs, strict=True))
    with np.errstate(invalid="ignore", over="ignore"):
        expected = np.allclose(ours, theirs, rtol=rtol, atol=atol)
    assert compared(ours, theirs, atol=atol, rtol=rtol, dtype="float64").close == expected


@pytest.mark.parametrize(("ours", "theirs"), [([NAN], [1.0]), ([1.0], [NAN]), ([NAN], [NAN]), ([0.0, NAN], [0.0, 0.0])])
def test_a_value_that_is_no_number_is_not_close_even_to_another(ours: list[float], theirs: list[float]) -> None:
    result = compared(ours, theirs)
    assert not result.passed
    assert np.isnan(result.max_abs_error or 0.0)


def test_equal_infinities_are_close_and_different_ones_are_not() -> None:
    assert compared([INF, -INF, 1.0], [INF, -INF, 1.0]).close
    assert compared([INF], [INF], rtol=0).close
    for ours, theirs in ((INF, -INF), (INF, 1.0), (1.0, INF), (1.0, -INF)):
        assert not compared([ours], [theirs]).close


def test_another_shape_is_not_close_and_has_no_error() -> None:
    result = compared([[1.0, 2.0]], [[1.0], [2.0]])
    assert (result.passed, result.max_abs_error, result.shape, result.expected_shape) == (False, None, (1, 2), (2, 1))


def test_another_dtype_does_not_pass() -> None:
    result = compare("x", np.ones(2, np.float16), np.ones(2, np.float32), np.array(True), Tolerance(1, 0), None)
    assert (result.close, result.passed) == (True, False)


@pytest.mark.parametrize("value", [9.0, NAN, INF])
def test_padded_positions_do_not_count(value: float) -> None:
    kept = [[True, False]]
    assert compared([[1.0, value]], [[1.0, 2.0]], kept).passed
    assert compared([[1.0, 2.0]], [[1.0, value]], kept).passed
    assert not compared([[value, 1.0]], [[1.0, 1.0]], kept).passed


def test_two_decisions_beyond_tolerance_disagree() -> None:
    result = compared([[1.0, 1.1], [0.0, 5.0]], [[1.1, 1.0], [0.0, 5.0]], decides=True)
    assert (result.top1_agreement, result.top1_ties) == (0.5, 0)


def test_a_tie_within_tolerance_is_counted_as_such() -> None:
    result = compared([[1.0, 1.0005], [0.0, 5.0]], [[1.0005, 1.0], [0.0, 5.0]], decides=True)
    assert result.passed
    assert (result.top1_agreement, result.top1_ties) == (1.0, 1)


def test_an_output_that_decides_nothing_has_no_agreement() -> None:
    assert compared([[1.0, 2.0]], [[1.0, 2.0]]).top1_agreement is None
    assert compared([[1.0], [2.0]], [[1.0], [2.0]], decides=True).top1_agreement is None


def test_a_decision_along_the_sequence_does_not_fall_on_padding() -> None:
    kept = [[True, True, False]]
    result = compared([[1.0, 2.0, 9.0]], [[1.0, 2.0, -9.0]], kept, decides=True)
    assert (result.passed, result.top1_agreement) == (True, 1.0)
    result = compared([[2.0, 1.0, 9.0]], [[1.0, 2.0, 9.0]], kept, decides=True)
    assert result.top1_agreement == 0.0


def test_a_decision_at_a_padded_position_counts_neither_for_nor_against() -> None:
    kept = [[[True], [False]]]
    theirs = [[[5.0, 0.0], [0.0, 5.0]]]
    for ours, agreement in (([[[5.0, 0.0], [5.0, 0.0]]], 1.0), ([[[0.0, 5.0], [0.0, 5.0]]], 0.0)):
        assert compared(ours, theirs, kept, decides=True).top1_agreement == agreement


def test_infinite_logits_do_not_make_a_tie() -> None:
    result = compared([[0.0, 1.0]], [[INF, 1.0]], decides=True)
    assert (result.passed, result.top1_ties) == (False, 0)


def test_the_kept_positions_of_tokens_are_those_of_the_mask() -> None:
    mask = np.array([[1, 1, 0]])
    kept = kept_positions("logits", np.zeros((1, 3, 4)), Declared(TOKENS), {"attention_mask": mask})
    assert kept.tolist() == [[[True], [True], [False]]]


def test_the_new_tokens_are_the_last_that_the_mask_of_a_cache_covers() -> None:
    mask = np.array([[0, 1, 1, 0]])
    cache = {0: "batch", 2: "past_sequence + sequence"}
    assert kept_positions("logits", np.zeros((1, 2, 3)), Declared(TOKENS), {"attention_mask": mask}).tolist() == [[[True], [False]]]
    kept = kept_positions("logits", np.zeros((1, 5, 4, 6)), Declared(cache), {"attention_mask": mask})
    assert kept.tolist() == [[[[False], [True], [True], [False]]]]


@pytest.mark.parametrize(("name", "last"), [("logits", False), ("present.0.decoder.key", False), ("present.0.encoder.key", True)])
def test_the_encoders_and_the_decoders_tokens_go_with_their_own_masks(name: str, last: bool) -> None:
    masks = {"attention_mask": np.array([[0, 1]]), "decoder_attention_mask": np.array([[1, 0]])}
    kept = kept_positions(name, np.zeros((1, 2, 3)), Declared(TOKENS, name), masks)
    assert kept.tolist() == [[[not last], [last]]]


@pytest.mark.parametrize(
    ("shape", "axes", "inputs"),
    [
        ((2, 3), {0: "batch"}, {"attention_mask": np.array([[1, 1, 0]] * 2)}),
        ((2, 3), TOKENS, {}),
        ((2, 4), TOKENS, {"attention_mask": np.array([[1, 1, 0]] * 2)}),
    ],
)
def test_every_position_of_another_output_is_kept(shape: tuple[int, ...], axes: dict[int, str], inputs: dict[str, Any]) -> None:
    kept = kept_positions("logits", np.zeros(shape), Declared(axes), inputs)
    assert np.broadcast_to(kept, shape).all()


@pytest.mark.parametrize("block", [1, 5, 16])
def test_a_large_output_is_compared_in_blocks_as_if_it_were_whole(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    theirs = rng.normal(size=(3, 4, 5))
    ours = theirs + rng.normal(scale=1e-3, size=theirs.shape)
    kept = rng.integers(0, 2, (3, 4, 1)).tolist()
    whole = compared(ours.tolist(), theirs.tolist(), kept, decides=True)
    monkeypatch.setattr(compare_module, "_BLOCK", block)
    assert compared(ours.tolist(), theirs.tolist(), kept, decides=True) == whole
    ours[2, 3, 4] = np.nan
    broken = compared(ours.tolist(), theirs.tolist(), [[[True]]], decides=True)
    assert not broken.close and broken.max_abs_error is not None and np.isnan(broken.max_abs_error)


_CLOSE = st.tuples(st.floats(-8, 8, width=32), st.sampled_from([0.0, 1e-7, 4e-4, 9.999e-4, 1e-3, 1.001e-3, 1.0]))


@given(st.lists(st.tuples(_CLOSE, _CLOSE, st.booleans()), min_size=1, max_size=8))
def test_what_is_seen_in_float32_is_what_is_found_in_float64(rows: list[tuple[tuple[float, float], tuple[float, float], bool]]) -> None:
    theirs = np.array([[first[0], second[0]] for first, second, _ in rows], np.float32)
    ours = theirs + np.array([[first[1], -second[1]] for first, second, _ in rows], np.float32)
    kept = np.array([[keep] * 2 for *_, keep in rows])
    arguments = (ours, theirs, kept, Tolerance(1e-3, 1e-3), True)
    exact = compare_module._compare_exactly(*arguments)
    quick = compare_module._clearly_close(*arguments)
    assert quick is None or (quick.close, quick.scale, quick.decisions) == (exact.close, exact.scale, exact.decisions)
    assert quick is None or quick.max_error == pytest.approx(exact.max_error, rel=1e-6)
    if kept.any():
        assert quick is not None or exact.max_error > 0.99e-3
        assert quick is None or exact.max_error < 1e-3


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_float32_alone_decides_nothing_over_what_is_no_finite_number(value: float) -> None:
    for ours, theirs in ((value, value), (value, 1.0), (1.0, value)):
        arrays = (np.array([[ours, 1.0]], np.float32), np.array([[theirs, 1.0]], np.float32))
        assert compare_module._clearly_close(*arrays, np.ones((1, 2), bool), Tolerance(1e-3, 0), True) is None
