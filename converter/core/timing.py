"""What each stage of a job costs: seconds, CPU seconds, and the peak of the memory that the kernel cannot drop.

A process that a stage starts, such as one that runs an artifact, counts as its own.
"""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from converter.core.records import Event, Stage

_INTERVAL = 0.01  # seconds between two looks at the memory


class Stages:
    """The finished stages of a job; `observe` is called when a stage begins and ends."""

    def __init__(self, observe: Callable[[Event], None], done: Iterable[Stage] = ()) -> None:
        self._observe = observe
        self.current = ""
        self.done = list(done)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the body of a with-statement as the stage `name`; its cost counts after a failure too."""
        self.current = name
        self._observe(Event(event="stage-began", stage=name))
        peak = _MemoryPeak()
        started, cpu_started = time.perf_counter(), _cpu_seconds()
        try:
            yield
        finally:
            seconds, cpu_seconds = time.perf_counter() - started, _cpu_seconds() - cpu_started
            self.done.append(
                Stage(name=name, seconds=round(seconds, 4), cpu_seconds=round(cpu_seconds, 4), peak_anonymous_bytes=peak.stop())
            )
            self._observe(Event.of_stage(self.done[-1]))


class _MemoryPeak:
    """Samples the anonymous memory of this process, and of those it starts meanwhile, in a thread.

    File-backed pages, such as mapped weights, do not count.
    """

    def __init__(self) -> None:
        self._others = _children()
        self._peak = anonymous_bytes()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(_INTERVAL):
            self._peak = max(self._peak, self._now())

    def _now(self) -> int:
        return anonymous_bytes() + sum(anonymous_bytes(child) for child in _children() - self._others)

    def stop(self) -> int:
        self._stopped.set()
        self._thread.join()
        return max(self._peak, self._now())


def anonymous_bytes(process: int | None = None) -> int:
    """The resident anonymous memory of a process, this one by default, in bytes as Linux counts it (RssAnon); 0 for one that has ended."""
    try:
        with open(f"/proc/{process or 'self'}/status", encoding="ascii", errors="replace") as status:
            lines = [line for line in status if line.startswith("RssAnon:")]
    except OSError:
        if process is None:
            raise
        return 0
    if not lines and process is None:
        raise OSError("this system's /proc/self/status has no RssAnon; Linux 4.5 and later have it")
    return int(lines[0].split()[1]) * 1024 if lines else 0


def _children() -> set[int]:
    """The processes that this one has started and that have not ended."""
    processes: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended
            processes.update(map(int, path.read_text(encoding="ascii").split()))
    return processes


def _cpu_seconds() -> float:
    """Of this process, and of those it started that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime
