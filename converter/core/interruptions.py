"""Interruptions that wait for a few instructions: SIGINT and SIGTERM raise between any two, also between a file and its cleanup."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

_Handler = Callable[[int, FrameType | None], object] | int


@contextmanager
def defer_interruptions() -> Iterator[None]:
    """Handle SIGINT and SIGTERM after the block, and not in it.

    For short blocks, which make or remove something. Python handles signals in the main thread, so in others nothing is to be done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: handler for number in (signal.SIGTERM, signal.SIGINT) if (handler := signal.getsignal(number)) is not None}
    arrived: list[int] = []
    try:
        _set({number: lambda number, _: arrived.append(number) for number in handlers})
        yield
    finally:
        try:
            _set(handlers)
        except BaseException:  # a signal that came in between
            _set(handlers)
            raise
    for number in dict.fromkeys(arrived):
        signal.raise_signal(number)


def _set(handlers: Mapping[signal.Signals, _Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
