"""Which layers a variant leaves out."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from converter.backends.onnx.precision.linear import Layer
from converter.backends.onnx.precision.search import search


def layer(role: str, number: int, size: int = 100, is_embedding: bool = False) -> Layer:
    return Layer("model.onnx", f"{role}{number}", f"layer.{number}.{role}", size, is_embedding)


ROLES = ("query", "value", "up", "down")
PRODUCTS = tuple(layer(role, number) for number in range(2) for role in ROLES)
WORDS = layer("words", 0, size=1000, is_embedding=True)
HARM = {"layer.*.query": 1.0, "layer.*.value": 8.0, "layer.*.up": 2.0, "layer.*.down": 4.0, "layer.*.words as embedding": 3.0}


def off(chosen: Collection[Layer]) -> float:
    return sum(HARM[role] for role in {layer.role for layer in chosen})


def roles(chosen: Collection[Layer]) -> set[str]:
    return {layer.role.removeprefix("layer.*.").removesuffix(" as embedding") for layer in chosen}


@pytest.mark.parametrize(
    ("bound", "kept", "tried"),
    [
        (100.0, {*ROLES, "words"}, 1),
        (10.0, {"query", "up", "down", "words"}, 3),  # value alone is enough, and is the second that is tried alone
        (6.5, {"query", "up", "words"}, 7),  # then value and down, which gain most for their bytes
    ],
)
def test_no_more_is_left_out_than_it_takes(bound: float, kept: set[str], tried: int) -> None:
    outcome = search((*PRODUCTS, WORDS), lambda chosen: (off(chosen) <= bound, off(chosen)), fallback_bits=32)
    assert roles(outcome.chosen) == kept
    assert outcome.tried == tried


def test_what_is_dear_in_bytes_is_left_out_last() -> None:
    order: list[set[str]] = []

    def attempt(chosen: Collection[Layer]) -> tuple[bool, float]:
        order.append(roles(chosen))
        return False, off(chosen)

    search((*PRODUCTS, WORDS), attempt, fallback_bits=8)
    together = order[6:]
    assert all("words" in chosen for chosen in together[:-1])
    assert "words" not in together[-1]


def test_where_nothing_is_enough_it_is_what_is_off_the_least_with_every_embedding() -> None:
    outcome = search((*PRODUCTS, WORDS), lambda chosen: (False, off(chosen)), fallback_bits=8)
    assert roles(outcome.chosen) == {"query", "up", "words"}  # two thirds of the products may be left out, and three quarters may not


def test_what_does_not_help_is_not_left_out() -> None:
    worse = {**HARM, "layer.*.query": -1.0}
    outcome = search(PRODUCTS, lambda chosen: (False, sum(worse[role] for role in {layer.role for layer in chosen})), fallback_bits=8)
    assert "query" in roles(outcome.chosen)


def test_a_model_of_one_matrix_is_quantized_whole_or_not_at_all() -> None:
    outcome = search(PRODUCTS[:1], lambda _: (False, 1.0), fallback_bits=8)
    assert (outcome.chosen, outcome.tried) == (PRODUCTS[:1], 1)


def test_an_answer_that_is_no_number_is_never_the_best() -> None:
    outcome = search(PRODUCTS, lambda chosen: (False, float("inf") if len(chosen) == len(PRODUCTS) else off(chosen)), fallback_bits=8)
    assert len(outcome.chosen) < len(PRODUCTS)
