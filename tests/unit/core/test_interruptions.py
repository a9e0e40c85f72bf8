"""Interruptions that wait for the end of a block."""

from __future__ import annotations

import signal
import threading

import pytest

from converter.core import interruptions
from converter.core.interruptions import defer_interruptions
from tests.support.interrupting import heeded, interrupt_everywhere  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("heeded")


def test_an_interruption_comes_after_the_block_and_not_in_it() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), defer_interruptions():
        signal.raise_signal(signal.SIGINT)
        done.append("all of it")
    assert done == ["all of it"]


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with defer_interruptions():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_handlers_are_back_wherever_an_interruption_comes() -> None:
    def work() -> None:
        with defer_interruptions():
            pass

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [*map(signal.getsignal, numbers)]
    places = interrupt_everywhere(work, [interruptions.__file__, __file__], lambda: [*map(signal.getsignal, numbers)])
    assert {place: handlers for place, handlers in places.items() if handlers != before} == {}
    assert len(places) > 10


def test_in_another_thread_nothing_is_deferred() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with defer_interruptions():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
