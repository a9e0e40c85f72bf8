"""A packed weight has its recipe as its name, and is computed at each access."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from converter.backends.onnx.files.packed_weights import PackedWeight, Weights

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.weight": torch.arange(9.0).reshape(3, 3)}
NAMES = st.from_regex(r"[A-Za-z_]\w{0,5}(\.\w{1,5}){0,2}", fullmatch=True)


@given(st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.booleans())
def test_a_name_is_read_as_the_recipe_that_it_was_made_of(of: tuple[str, ...], transposed: bool) -> None:
    packed_weight = PackedWeight(of, transposed)
    assert PackedWeight.named(packed_weight.name) == packed_weight
    assert packed_weight.is_plain == (packed_weight.name == of[0])


@pytest.mark.parametrize("name", ["", " + ", "a + ", " + a", "a+b", ".T()", ".T(a", "a)", ".T(.T(a))", ".T(a + )", "(a)"])
def test_what_is_no_recipe_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a recipe of weights"):
        PackedWeight.named(name)


def test_weights_are_joined_along_their_first_axis_and_then_transposed() -> None:
    joined = torch.cat([TENSORS["a.weight"], TENSORS["b.weight"]])
    names = ["a.weight", "a.weight + b.weight", ".T(a.weight + b.weight)", ".T(a.weight)"]
    weights = Weights(TENSORS, names)
    expected = [TENSORS["a.weight"], joined, joined.t(), TENSORS["a.weight"].t()]
    assert all(torch.equal(weights[name], tensor) for name, tensor in zip(names, expected, strict=True))
    assert [*weights.without(names[1:3])] == [names[0], names[3]]
    assert len(weights) == 4


def test_a_weight_as_it_is_is_not_copied_and_what_is_made_is_not_kept() -> None:
    weights = Weights(TENSORS, ["a.weight", "a.weight + b.weight"])
    assert weights["a.weight"].data_ptr() == TENSORS["a.weight"].data_ptr()
    assert weights["a.weight + b.weight"] is not weights["a.weight + b.weight"]
