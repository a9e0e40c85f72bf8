"""A short run of the fuzzer, and broken readers whose failures it has to report."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from converter.core.errors import CheckpointError
from tests.fuzz.mutation import mutated
from tests.fuzz.running import fuzz_in_fork, outside, prepare
from tests.fuzz.targets import TARGETS, Target, attempt


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessPoolExecutor]:
    """A process that has imported what the targets need; each of them runs in a fork of it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=prepare, initargs=(tmp_path_factory.mktemp("fuzz"),)) as executor:
        yield executor


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_few_hundred_broken_inputs_end_in_a_sentence(target: Target, pool: ProcessPoolExecutor) -> None:
    result = pool.submit(fuzz_in_fork, target.name, 200, 2).result()
    assert (result.tried, result.wrong) == (200, {})


@pytest.mark.slow
def test_so_do_whole_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = outside(2, seed=2)
    assert (result.tried, result.wrong) == (2, {})


def test_the_same_seed_gives_the_same_inputs_and_most_are_others_than_they_were() -> None:
    seeds = [b'{"a": [1, {"b": "c"}], "d": null}', b"some text\n" * 10]
    one, other = ([mutated(rng, seeds) for _ in range(500)] for rng in (random.Random(7), random.Random(7)))
    assert one == other
    assert len({*one}) > 400 and sum(data in seeds for data in one) < 50


def refuse(_: bytes) -> None:
    raise CheckpointError("it is wrong", "mend it")


def stumble(_: bytes) -> None:
    raise CheckpointError("internal error: KeyError: 'a'")


def crash(_: bytes) -> None:
    raise OverflowError("too large")


def test_a_sentence_is_right_and_an_unforeseen_error_of_any_kind_is_not() -> None:
    assert attempt(lambda _: None, b"") == attempt(refuse, b"") == ""
    assert "internal error" in attempt(stumble, b"")
    assert attempt(crash, b"") == "builtins.OverflowError: too large"
