"""How many jobs at once, and which begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.executors.admission import PATIENCE, Admission, admission

GB = 10**9


def test_jobs_begin_in_their_order_as_long_as_they_fit() -> None:
    admitted = Admission(workers=3, cores=4, memory=10)
    assert admitted.choose([4, 1], []) == 0
    assert admitted.choose([6, 1], [4]) == 0
    assert admitted.choose([1], [4, 6]) is None
    assert admitted.choose([1], [1, 1, 1]) is None
    assert admitted.choose([], [1]) is None


def test_a_smaller_one_goes_first_where_the_first_has_no_room() -> None:
    assert Admission(workers=3, cores=4, memory=10).choose([7, 8, 6, 1], [4]) == 2


def test_one_that_fits_nowhere_begins_once_nothing_else_runs_and_nothing_begins_beside_it() -> None:
    admitted = Admission(workers=3, cores=4, memory=10)
    assert admitted.choose([99], [1]) is None
    assert admitted.choose([99, 1], []) == 0
    assert admitted.choose([1], [99]) is None


def test_none_is_overtaken_more_often_than_patience_has_it() -> None:
    admitted = Admission(workers=3, cores=4, memory=10)
    assert [admitted.choose([7, 1], [4]) for _ in range(PATIENCE + 1)] == [1] * PATIENCE + [None]
    assert admitted.choose([7, 1], [3]) == 0
    assert admitted.choose([7, 1], [4]) == 1  # the next that waits is not made to pay for it


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 5), st.integers(0, 20))
def test_every_job_has_its_turn_and_what_runs_fits_unless_it_runs_alone(jobs: list[int], workers: int, memory: int) -> None:
    admitted = Admission(workers=workers, cores=4, memory=memory)
    waiting, running, begun = list(enumerate(jobs)), list[int](), list[int]()
    while waiting or running:
        place = admitted.choose([predicted for _, predicted in waiting], running)
        if place is None:
            running.pop(0)  # there is always one to wait for
            continue
        index, predicted = waiting.pop(place)
        begun.append(index)
        running.append(predicted)
        assert len(running) == 1 or (sum(running) <= memory and len(running) <= workers)
    assert sorted(begun) == list(range(len(jobs)))
    for index, place in enumerate(map(begun.index, range(len(jobs)))):
        assert sum(other > index for other in begun[:place]) <= PATIENCE * (index + 1)


@pytest.mark.parametrize(
    ("predicted", "left", "expected"),
    [(1, 100, 1), (50, 100, 4), (100, 100, 8), (101, 100, 8), (0, 1, 8), (1, 3, 2)],
    ids=["small", "half of the memory", "all of it", "more than that", "the last", "one of the last three"],
)
def test_a_job_has_its_share_of_the_cores(predicted: int, left: int, expected: int) -> None:
    assert Admission(workers=8, cores=8, memory=100).threads(predicted, left) == expected


def test_a_number_is_its_users_word_whatever_memory_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("converter.executors.machine.available_bytes", lambda: 0)
    monkeypatch.setattr("converter.executors.machine.cores", lambda: 4)
    policy = admission(3, jobs=9)
    assert [policy.choose([GB], [GB] * running) for running in range(4)] == [0, 0, 0, None]
    assert admission(16, jobs=9).threads(GB, 9) == 1
    assert admission(None, jobs=9).workers == 4
    assert admission(None, jobs=1).workers == 1
    assert admission(None, jobs=0).workers == 1
    assert admission(None, jobs=9).choose([GB], [1]) is None
