"""SIGINT wherever Python handles signals in some files: at the start of a function, after a call, and at the end of a loop."""

from __future__ import annotations

import contextlib
import dis
import signal
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pytest

Seen = TypeVar("Seen")


_HANDLING = frozenset(number for name, number in dis.opmap.items() if name.startswith(("CALL", "RESUME", "JUMP_BACKWARD")))
"""The instructions after which Python handles signals."""


@pytest.fixture
def heeded() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also if the tests run in a shell's background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class _Interruption:
    """A trace function that raises SIGINT where Python handles signals, for the time of this number, counted in some files only."""

    def __init__(self, number: int, files: Collection[str]) -> None:
        self._left, self._files = number, frozenset(files)
        self._handles: dict[FrameType, bool] = {}
        self.place = ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not self._is_counted(frame):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self._left -= self._handles.get(frame, False)
            self._handles[frame] = frame.f_code.co_code[frame.f_lasti] in _HANDLING
            if self._left == 0 and not self.place:
                self.place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} at {frame.f_lasti}"
                self._handles.clear()  # or the frames would live on, and with them whatever they hold
                signal.raise_signal(signal.SIGINT)
        return self

    def _is_counted(self, frame: FrameType) -> bool:
        """Whether it runs code of the files, or of contextlib for them: an interruption of a library's destructor is lost by Python."""
        caller = frame.f_back if frame.f_code.co_filename == contextlib.__file__ else frame
        return caller is not None and caller.f_code.co_filename in self._files


def interrupt_everywhere(work: Callable[[], None], files: Collection[str], look: Callable[[], Seen]) -> dict[str, Seen]:
    """Run `work` again and again, each time with an interruption at the next possible place; what `look` sees after each, by its place.

    The work that ends before its interruption is the last.
    """
    seen: dict[str, Seen] = {}
    number = 0
    while True:
        number += 1
        interruption = _Interruption(number, files)
        before = sys.gettrace()
        sys.settrace(interruption)
        try:
            work()
        except KeyboardInterrupt:
            pass
        else:
            if interruption.place:
                pytest.fail(f"the interruption at {interruption.place} was lost")
        finally:
            sys.settrace(before)
        if not interruption.place:
            return seen
        seen[f"{number}: {interruption.place}"] = look()
