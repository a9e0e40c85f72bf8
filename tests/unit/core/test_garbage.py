"""What becomes garbage inside is collected, and the older heap is not looked at."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from converter.core.garbage import collected


class Node:
    """An object in a cycle of its own."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(params=["a frozen heap", "a heap that is not frozen"])
def frozen(request: pytest.FixtureRequest) -> Iterator[bool]:
    before = gc.get_freeze_count()
    gc.unfreeze()
    if request.param == "a frozen heap":
        gc.freeze()
    gc.disable()  # so that nothing else collects
    yield request.param == "a frozen heap"
    gc.enable()
    gc.unfreeze()
    if before:
        gc.freeze()


def test_a_cycle_from_inside_is_collected_and_an_older_one_later(frozen: bool) -> None:
    old = weakref.ref(Node())
    with collected():
        new = weakref.ref(Node())
        assert new() is not None
    assert new() is None
    assert (old() is None) == frozen  # a frozen heap has what was made since then looked at, and another one nothing
    assert bool(gc.get_freeze_count()) == frozen
    gc.collect()
    assert old() is None


def test_the_heap_is_as_it_was_after_an_error(frozen: bool) -> None:
    before = gc.get_threshold()
    with pytest.raises(ValueError, match="no"), collected():
        raise ValueError("no")
    assert bool(gc.get_freeze_count()) == frozen
    assert gc.get_threshold() == before


def test_there_are_fewer_collections_inside_unless_there_are_none_at_all() -> None:
    before = gc.get_threshold()
    with collected():
        assert gc.get_threshold()[0] > before[0]
    gc.set_threshold(0)
    with collected():
        assert gc.get_threshold()[0] == 0
    gc.set_threshold(*before)
