"""The cost of a command, measured from outside: the CPU seconds of all its processes, and the memory of a batch's workers."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from converter.artifacts.record_file import RECORD
from converter.core.timing import anonymous_bytes

_INTERVAL = 0.005  # seconds between two looks at the memory
_PR_SET_CHILD_SUBREAPER = 36  # of linux/prctl.h


@dataclass(frozen=True)
class Cost:
    """CPU seconds, user and system, of a command and every process that came of it; and the wall seconds until the last had ended."""

    cpu_seconds: float
    wall_seconds: float
    output: str


def run(command: Sequence[str | Path], watch: Callable[[int], None] | None = None, environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command with one OpenMP thread and without the network, or in an `environment`; `watch` is called with its process id every
    few milliseconds.

    A process that outlives its parent, such as a fork server, becomes this one's child and is waited for too.

    Raises RuntimeError with the output if the command fails.
    """
    _adopt_orphans()
    before, started = _cpu_seconds_of_children(), time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as written:
        process = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT, env=environment or _environment())
        while watch and process.poll() is None:
            watch(process.pid)
            time.sleep(_INTERVAL)
        process.wait()
        with suppress(ChildProcessError):  # there is none left
            while True:
                os.wait()
        written.seek(0)
        output = written.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{output[-2000:]}")
    return Cost(_cpu_seconds_of_children() - before, time.perf_counter() - started, output)


def _adopt_orphans() -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _environment() -> Mapping[str, str]:
    """This process's, without a user's own settings of the converter."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONVERTER_")}
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def _cpu_seconds_of_children() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


@dataclass
class WorkerMemory:
    """Watches a batch: the anonymous bytes of its workers beyond their server's imports.

    `artifacts` are the folders of the jobs, in their order: a job ends when its record exists. The largest peak is over all workers; it
    belongs to a known job if jobs run one at a time.
    """

    artifacts: Sequence[Path]
    imports: int = 0
    """The server's, as it forks its first worker."""
    server: list[int] = field(default_factory=list)
    """The server's at each look from the first worker on."""
    parent: list[int] = field(default_factory=list)
    """The same of the process that leads the batch."""
    peaks: list[int] = field(default_factory=list)
    """Of each job that has begun; each worker is counted by itself, with the processes that it starts."""
    _server: int | None = None

    def __call__(self, process: int) -> None:
        self._server = self._server or next((child for child in _children(process) if _is_server(child)), None)
        workers = _children(self._server) if self._server else []
        if not workers or not self._server:
            return
        self.server.append(anonymous_bytes(self._server))
        self.parent.append(anonymous_bytes(process))
        self.imports = self.imports or self.server[0]
        if not self.peaks or (len(self.peaks) < len(self.artifacts) and (self.artifacts[len(self.peaks) - 1] / RECORD).exists()):
            self.peaks.append(0)
        self.peaks[-1] = max(self.peaks[-1], *(_with_all_it_started(worker) - self.imports for worker in workers))


def _with_all_it_started(process: int) -> int:
    return anonymous_bytes(process) + sum(map(_with_all_it_started, _children(process)))


def _is_server(process: int) -> bool:
    with suppress(OSError):
        return b"forkserver" in Path(f"/proc/{process}/cmdline").read_bytes()
    return False


def _children(process: int) -> list[int]:
    children: list[int] = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended
            children.extend(map(int, path.read_text(encoding="ascii").split()))
    return children
