"""A stored tensor that is made of several weights is held against them, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from converter.backends.base import StoredWeight
from converter.checkpoints.loading import LoadedModel
from converter.records import WeightCheck
from converter.validation.weights import check_weights


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scale = torch.nn.Parameter(torch.tensor(3.0))
        self.q, self.k = torch.nn.Parameter(torch.randn(40, 30)), torch.nn.Parameter(torch.randn(20, 30))


class Stored:
    """A session of which the stored tensors alone are known."""

    def __init__(self, *weights: StoredWeight) -> None:
        self._weights = weights

    def weights(self) -> Iterator[StoredWeight]:
        return iter(self._weights)


MODEL = Model()
JOINED = np.concatenate([MODEL.q.detach().numpy(), MODEL.k.detach().numpy()])


def checked(*weights: StoredWeight) -> WeightCheck:
    return check_weights(Stored(*weights), LoadedModel(MODEL), keeps_ties=True)  # type: ignore[arg-type]


def made(array: np.ndarray, *of: str, transposed: bool = False) -> StoredWeight:
    return StoredWeight("made", array, "made", of=of, transposed=transposed)


@pytest.mark.parametrize("transposed", [False, True])
def test_what_is_made_of_weights_is_right_and_any_bit_of_it_that_is_not_is_found(transposed: bool) -> None:
    right = JOINED.T.copy() if transposed else JOINED
    assert checked(made(right, "q", "k", transposed=transposed)).different == ()
    for place in ((0, 0), (right.shape[0] - 1, right.shape[1] - 1)):
        wrong = right.copy()
        wrong[place] = np.nextafter(wrong[place], np.float32(9))
        assert checked(made(wrong, "q", "k", transposed=transposed)).different == ("made",)


@pytest.mark.parametrize(
    "wrong",
    [
        made(JOINED, "k", "q"),
        made(JOINED, "q"),
        made(JOINED, "q", "k", "k"),
        made(JOINED, "q", "k", transposed=True),
        made(JOINED[:-1], "q", "k"),
        made(JOINED.astype(np.float64), "q", "k"),
        made(np.asarray(np.float32(3)), "q", "k"),
        made(JOINED, "q", "scale"),
    ],
)
def test_what_is_made_of_other_weights_or_in_another_order_is_found(wrong: StoredWeight) -> None:
    assert checked(wrong).different == ("made",)


def test_what_is_made_of_no_weights_that_there_are_is_unknown() -> None:
    assert checked(made(JOINED, "q", "no.such")).unknown == ("made",)


def test_a_weight_that_is_stored_beside_what_is_made_of_it_is_stored_twice() -> None:
    alone = StoredWeight("q", MODEL.q.detach().numpy(), "q")
    assert checked(made(JOINED, "q", "k"), alone).doubled == ("q",)
    assert checked(made(JOINED, "q", "k")).doubled == ()
