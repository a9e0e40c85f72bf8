"""What each stage of a job costs: seconds, CPU seconds, and the peak of the memory that the kernel cannot drop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from converter.records import Stage

_INTERVAL = 0.01  # seconds between two looks at the memory


class Stages:
    """The stages of one job so far; `observe` is told the name of each as it begins."""

    def __init__(self, observe: Callable[[str], None], done: Iterable[Stage] = ()) -> None:
        self._observe = observe
        self.current = ""
        self.done = list(done)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the body of a with-statement as the stage `name`; its cost is kept where it fails too."""
        self.current = name
        self._observe(name)
        peak = _MemoryPeak()
        started, cpu_started = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
            self.done.append(
                Stage(name=name, seconds=round(seconds, 4), cpu_seconds=round(cpu_seconds, 4), peak_anonymous_bytes=peak.stop())
            )


class _MemoryPeak:
    """Samples this process's anonymous memory in a thread; file-backed pages, such as mapped weights, do not count."""

    def __init__(self) -> None:
        self._peak = anonymous_bytes()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(_INTERVAL):
            self._peak = max(self._peak, anonymous_bytes())

    def stop(self) -> int:
        self._stopped.set()
        self._thread.join()
        return max(self._peak, anonymous_bytes())


def anonymous_bytes() -> int:
    """The resident anonymous memory of this process in bytes, as Linux counts it (RssAnon)."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise OSError("this system's /proc/self/status has no RssAnon; Linux 4.5 and later have it")
