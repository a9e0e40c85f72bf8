"""A past is the model's own keys and values: the first token, then others, in each row from another place on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from converter.architectures import OnnxConfig, find_architecture
from converter.checkpoints.loading import load_model
from converter.core.typing import Array
from converter.validation.case_inputs import InputGenerator, Inputs
from converter.validation.past import OwnPast
from converter.validation.reference import Reference

HELD = 12


def outputs(heads: int = 2, held: int = HELD) -> dict[str, Array]:
    """Keys whose every element says of which token it is, and values that are larger by 100; layer 1's by 1000."""
    tokens = np.broadcast_to(np.arange(held, dtype=np.float32)[None, None, :, None], (1, heads, held, 3))
    return {
        "logits": np.zeros((1, held, 5), np.float32),
        **{f"present.{layer}.{kind}": tokens + 1000 * layer + 100 * (kind == "value") for layer in range(2) for kind in ("key", "value")},
    }


def empty(batch: int, length: int, heads: int = 2) -> dict[str, Array]:
    names = [f"past_key_values.{layer}.{kind}" for layer in range(2) for kind in ("key", "value")]
    return {"input_ids": np.ones((batch, 4), np.int64), **{name: np.full((batch, heads, length, 3), -1, np.float32) for name in names}}


def filled(batch: int, length: int, seed: int = 0, held: int = HELD) -> dict[str, Array]:
    inputs = empty(batch, length)
    OwnPast(outputs(held=held)).fill(inputs, np.random.default_rng(seed))
    return inputs


@pytest.mark.parametrize("length", [1, 2, 5, HELD - 1, HELD, HELD + 1, 3 * HELD + 2])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_past_of_any_length_has_the_shape_that_it_had_and_begins_with_the_first_token(batch: int, length: int) -> None:
    inputs = filled(batch, length)
    keys = inputs["past_key_values.0.key"]
    assert (keys.shape, keys.dtype, keys.flags["C_CONTIGUOUS"]) == ((batch, 2, length, 3), np.float32, True)
    assert (keys[:, :, 0] == 0).all()
    assert ((keys[:, :, 1:] >= 1) & (keys[:, :, 1:] < HELD)).all()  # the first token is nowhere but first
    assert (inputs["input_ids"] == 1).all()


def test_all_layers_and_both_parts_are_of_the_same_tokens() -> None:
    inputs = filled(3, 7)
    tokens = inputs["past_key_values.0.key"]
    assert (inputs["past_key_values.0.value"] == tokens + 100).all()
    assert (inputs["past_key_values.1.key"] == tokens + 1000).all()
    assert (inputs["past_key_values.1.value"] == tokens + 1100).all()


def test_a_row_goes_on_in_the_order_of_the_text() -> None:
    row = filled(1, 6)["past_key_values.0.key"][0, 0, 1:, 0]
    assert (np.diff(row) % (HELD - 1) == 1).all()


@pytest.mark.parametrize("length", [5, HELD, HELD + 3])
def test_rows_differ(length: int) -> None:
    rows = {tuple(row[0, :, 0]) for row in filled(4, length)["past_key_values.0.key"]}
    assert len(rows) > 1


def test_a_past_longer_than_the_text_begins_again_behind_its_end() -> None:
    (row,) = filled(1, HELD + 4)["past_key_values.0.key"][:, 0, :, 0]
    assert row.tolist() == [*range(HELD), 1, 2, 3, 4]


def test_an_empty_past_stays_empty() -> None:
    assert filled(2, 0)["past_key_values.0.key"].shape == (2, 2, 0, 3)


def test_a_text_of_one_token_is_a_past_of_that_token() -> None:
    assert (filled(2, 3, held=1)["past_key_values.0.key"] == 0).all()


def test_what_the_checkpoint_gives_no_keys_for_stays_as_it_was() -> None:
    inputs = {"past_key_values.9.key": np.full((1, 2, 3, 3), 7, np.float32), "past_key_values.0.conv": np.full((1, 4), 7, np.float32)}
    OwnPast(outputs()).fill(inputs, np.random.default_rng(0))
    assert all((array == 7).all() for array in inputs.values())


def test_the_type_is_that_of_the_inputs() -> None:
    inputs = {"past_key_values.0.key": np.zeros((1, 2, 3, 3), np.float16)}
    OwnPast(outputs()).fill(inputs, np.random.default_rng(0))
    assert inputs["past_key_values.0.key"].dtype == np.float16


# of real models


Grid = tuple[OnnxConfig, dict[str, Array], list[Inputs]]


@pytest.fixture(scope="module", params=["gpt2", "t5"])
def grid(request: pytest.FixtureRequest, tiny: Callable[..., Path]) -> Grid:
    """A configuration with a cache, the checkpoint's outputs for its longest text, and the other cases."""
    kind, feature = {"gpt2": ("AutoModelForCausalLM", "causal-lm"), "t5": ("AutoModelForSeq2SeqLM", "seq2seq-lm")}[request.param]
    model = load_model(tiny(request.param, kind), kind, "float32")
    config = find_architecture(request.param).configure(model.config, f"{feature}-with-past")
    generator = InputGenerator(config, "float32", None, np.random.default_rng(0), (), 10**5)
    outputs = Reference(model, tuple(config.outputs)).run(generator.longest_case().arrays)
    past = OwnPast(outputs)
    cases = [*generator.grid(past)]
    for _, base, changed in generator.variations(past):
        cases += [base, *changed.values()]
    return config, dict(outputs), cases


def test_no_case_has_random_numbers_for_a_past(grid: Grid) -> None:
    config, outputs, cases = grid
    names = [name for name in config.inputs if name.startswith("past_key_values.")]
    assert names
    own = {name: {row.tobytes() for row in np.swapaxes(outputs[name.replace("past_key_values", "present")][0], 0, 1)} for name in names}
    sizes = set()
    for case in cases:
        for name in names:
            rows = np.swapaxes(case.arrays[name], 1, 2)
            sizes.add(rows.shape[1])
            foreign = [row for row in rows.reshape(-1, *rows.shape[2:]) if row.tobytes() not in own[name]]
            assert not foreign, f"{len(foreign)} tokens of {name} in {case.name!r} are not the checkpoint's own"
    assert {0, 10, 12} < sizes


def test_the_encoders_keys_are_the_encoders(grid: Grid) -> None:
    _, outputs, cases = grid
    encoders = [name for name in cases[0].arrays if ".encoder." in name]
    for name in encoders:
        first = outputs[name.replace("past_key_values", "present")][0, :, 0]
        assert all(np.array_equal(row[:, 0], first) for case in cases for row in case.arrays[name] if row.size)
