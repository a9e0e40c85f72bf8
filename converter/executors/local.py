"""Jobs in child processes of this machine, forked from a server that has imported torch and transformers once.

A crash, a hang, a leak or an out-of-memory kill costs one job, and the imports are paid once for the whole batch. A single job has no
server.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess
from pathlib import Path
from typing import Protocol

from converter.artifacts.job_log import JobLog
from converter.artifacts.staging import is_occupied, sweep
from converter.core.interruptions import defer_interruptions
from converter.core.reason import reason
from converter.core.records import Event, Failure, Job, Outcome
from converter.executors import admission, machine, memory_prediction
from converter.executors.limits import Limits, pause_before
from converter.executors.worker import GRACE, TELL_WHERE, work
from converter.pipeline import Plan, finish, plan_job

_PRELOAD = ["converter.executors.preload", "converter.cli"]
"""Imports of the server; the second is the import of the script `converter`, which multiprocessing repeats in each worker (43 CPU ms)."""
_LOOK = 0.5  # seconds between two looks at a job that another run is at
_PRINTED = 64_000  # bytes that are kept of a job's library output, the last ones


class Observer(Protocol):
    """Receives the events of a batch; `index` is the job's position in the given sequence."""

    def observe(self, index: int, event: Event) -> None: ...


@dataclass(frozen=True)
class _Attempt:
    """A job for the attempt `number`, from `due` on by the monotonic clock.

    `alone` if other jobs may have caused its failure; `deferred` if another run was at it.
    """

    index: int
    job: Job
    number: int = 1
    due: float = 0.0
    alone: bool = False
    deferred: bool = False


@dataclass(frozen=True)
class _Planned:
    """The jobs of an attempt, and their predicted memory in bytes."""

    attempt: _Attempt
    plan: Plan
    predicted: int


@dataclass
class _Worker:
    """A process with its job, and whether others ran beside it. `deadline` is by the monotonic clock."""

    process: ForkServerProcess | SpawnProcess
    planned: _Planned
    printed: Path
    deadline: float
    in_company: bool
    last_stage: str = "start"

    def heard(self, event: Event) -> None:
        if event.event == "stage-began" and event.stage:
            self.last_stage = event.stage

    def end(self) -> None:
        """End the process and its children, and remove its staged files."""
        if self.process.pid:  # an interruption of its start leaves none
            self.process.terminate()
            self.process.join(GRACE)
            self.process.kill()
            with suppress(ProcessLookupError, PermissionError):  # nobody is left of them
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.join()
        sweep(self.planned.plan.job.destination)


def run(
    jobs: Sequence[Job],
    workers: int | None,
    observer: Observer,
    halted: Callable[[], bool] = lambda: False,
    limits: Limits = Limits(),  # noqa: B008 - it is frozen
) -> Iterator[Outcome]:
    """Run `jobs`, at most `workers` at a time, and yield each Outcome when it is ready.

    Without `workers` the number follows cores and predicted memory, see `admission.Admission`. After `halted` returns true nothing is
    started; running jobs continue.

    A job that another run is at goes behind the others. Once that run has left it, it is planned again and is usually unchanged.

    An unchanged job, or one that fails before its weights are read, needs no process. An interruption ends the workers, which remove
    their staged files; the files of a killed one are removed for it.
    """
    with tempfile.TemporaryDirectory(prefix="converter-") as folder:
        batch = _Batch(jobs, workers, observer, halted, limits, Path(folder))
        try:
            while batch.is_left:
                yield from batch.step()
        finally:
            batch.end()


_batches = itertools.count()
"""Counts the batches of this process."""


def _context(jobs: int) -> SpawnContext | ForkServerContext:
    """How processes start: a first and single job in one of its own, as the server's warm-up takes more time than the job."""
    if next(_batches) == 0 and jobs == 1:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


def expect_batches() -> None:
    """Have the server from the first job on, as this process runs batch after batch."""
    next(_batches)


class _Batch:
    """Jobs on their way: not planned yet, waiting for room, running, or waiting for another attempt."""

    def __init__(
        self, jobs: Sequence[Job], workers: int | None, observer: Observer, halted: Callable[[], bool], limits: Limits, folder: Path
    ) -> None:
        self._observer, self._halted, self._limits, self._folder = observer, halted, limits, folder
        self._unplanned = deque(_Attempt(index, job) for index, job in enumerate(jobs))
        self._waiting: list[_Planned] = []
        self._running: dict[Connection, _Worker] = {}
        self._later: list[_Attempt] = []
        self._admission = admission.admission(workers, len(jobs))
        self._memory = machine.available_bytes()
        self._context = _context(len(jobs))

    @property
    def is_left(self) -> bool:
        return bool(self._unplanned or self._waiting or self._running or self._later)

    def step(self) -> Iterator[Outcome]:
        """Start or plan one job, and read the workers' messages; with nothing to start, wait for them."""
        now = time.monotonic()
        for attempt in [attempt for attempt in self._later if attempt.due <= now]:
            self._later.remove(attempt)
            self._unplanned.appendleft(attempt)
        begins = self._admission.choose(
            [plan.predicted for plan in self._waiting], [worker.planned.predicted for worker in self._running.values()]
        )
        plans = begins is None and len(self._waiting) < admission.PATIENCE and len(self._running) < self._admission.workers
        plans = plans and bool(self._unplanned)
        if self._halted():
            yield from self._cancel()
        elif begins is not None:
            planned = self._waiting.pop(begins)
            if not self._is_deferred(planned.attempt):
                yield from self._start(planned)
            return
        elif plans:
            attempt = self._unplanned.popleft()
            if not self._is_deferred(attempt):
                yield from self._plan(attempt)
        yield from self._hear(0 if plans else self._patience())

    def end(self) -> None:
        """End all that still runs. A second interruption waits: GitHub sends one soon after the first."""
        with defer_interruptions():
            for worker in self._running.values():
                if worker.process.pid:
                    worker.process.terminate()
            for worker in self._running.values():
                worker.end()

    def _is_deferred(self, attempt: _Attempt) -> bool:
        """Put a job behind the others if another run is at it."""
        occupied = is_occupied(attempt.job.destination)
        if occupied:
            self._defer(attempt)
        return occupied

    def _defer(self, attempt: _Attempt) -> None:
        """Look at a job again in a moment: another run is at it."""
        if not attempt.deferred:
            self._observer.observe(attempt.index, Event(event="waiting"))
        self._later.append(replace(attempt, due=time.monotonic() + _LOOK, deferred=True))

    def _cancel(self) -> Iterator[Outcome]:
        left = (*(plan.attempt for plan in self._waiting), *self._unplanned, *self._later)
        self._waiting, self._unplanned, self._later = [], deque(), []
        yield from (Outcome.of(attempt.job, "cancelled") for attempt in left)

    def _patience(self) -> float | None:
        """Seconds in which something is to be done that no worker says."""
        times = [*(worker.deadline for worker in self._running.values()), *(attempt.due for attempt in self._later)]
        first = min(times, default=inf)
        return None if first == inf else max(0.0, first - time.monotonic())

    def _plan(self, attempt: _Attempt) -> Iterator[Outcome]:
        planned = plan_job(attempt.job, lambda event: self._observer.observe(attempt.index, event))
        if isinstance(planned, Plan):
            predicted = sys.maxsize if attempt.alone else memory_prediction.predicted_bytes(planned)
            self._waiting.append(_Planned(attempt, planned, predicted))
        elif planned.failure:
            yield from self._settle(attempt, planned)
        else:
            yield planned

    def _start(self, planned: _Planned) -> Iterator[Outcome]:
        """Start a job in a separate process."""
        left = len(self._running) + 1 + len(self._waiting) + len(self._unplanned) + len(self._later)
        threads = self._admission.threads(planned.predicted, left)
        printed = self._folder / f"{planned.attempt.index}-{planned.attempt.number}"
        ours, theirs = self._context.Pipe(duplex=False)
        arguments = (planned.plan, theirs, threads, self._memory, printed if planned.plan.job.log else None)
        process = self._context.Process(target=work, args=arguments, daemon=True)
        worker = _Worker(process, planned, printed, inf, in_company=bool(self._running))
        self._running[ours] = worker  # before its start, so that an interruption finds it
        try:
            process.start()
        except (EOFError, OSError) as error:  # its server has ended, and the next job starts another; or the system lets none start
            del self._running[ours]
            ours.close()
            yield from self._settle(planned.attempt, _not_started(planned.plan.job, error))
        else:
            worker.deadline = time.monotonic() + (self._limits.timeout or inf)
            for other in self._running.values():
                other.in_company = other.in_company or other is not worker
        finally:
            theirs.close()

    def _hear(self, timeout: float | None) -> Iterator[Outcome]:
        """The workers' messages, after at most `timeout` seconds; ended workers are removed."""
        if not self._running and timeout is None:
            return
        for connection in wait(list(self._running), timeout):
            assert isinstance(connection, Connection)
            worker = self._running[connection]
            said = self._receive(connection, worker)
            if isinstance(said, Event) and said.event == "waiting":
                del self._running[connection]
                connection.close()
                worker.process.join(GRACE)
                worker.end()
                self._defer(worker.planned.attempt)
            elif isinstance(said, Event):
                worker.heard(said)
                self._observer.observe(worker.planned.attempt.index, said)
            else:
                yield from self._ended(connection, said)
        now = time.monotonic()
        for connection, worker in list(self._running.items()):
            if worker.deadline <= now:
                assert worker.process.pid and self._limits.timeout
                with suppress(ProcessLookupError):
                    os.kill(worker.process.pid, TELL_WHERE)
                worker.end()
                yield from self._ended(connection, _too_long(worker, self._limits.timeout))

    def _receive(self, connection: Connection, worker: _Worker) -> Event | Outcome:
        """The worker's next message: an event, its Outcome, or the Outcome of its death."""
        try:
            said: Event | Outcome = connection.recv()
        except (EOFError, OSError):
            worker.end()
            return _died(worker)
        return said

    def _ended(self, connection: Connection, outcome: Outcome) -> Iterator[Outcome]:
        worker = self._running.pop(connection)
        connection.close()
        worker.process.join()
        if outcome.status != "skipped":
            kept = outcome.status in ("converted", "unvalidated")
            JobLog(worker.planned.plan.job, kept=kept).write(*_printed(worker.printed))
        yield from self._settle(worker.planned.attempt, outcome)

    def _settle(self, attempt: _Attempt, outcome: Outcome) -> Iterator[Outcome]:
        """Yield the outcome of an attempt, or retry after a transient failure."""
        failure = outcome.failure
        if not (failure and failure.is_transient and attempt.number <= self._limits.retries) or self._halted():
            yield finish(attempt.job, outcome.model_copy(update={"attempts": attempt.number}))
            return
        number, killed = attempt.number + 1, failure.kind == "WorkerDied"
        seconds = pause_before(number)
        event = Event(event="retry", stage=failure.stage, attempt=number, seconds=seconds, message=failure.message)
        JobLog(attempt.job).write(event)
        self._observer.observe(attempt.index, event)
        self._later.append(replace(attempt, number=number, due=time.monotonic() + seconds, alone=attempt.alone or killed))


def _printed(file: Path) -> Iterator[Event]:
    """The last lines that a job's libraries printed."""
    try:
        size = file.stat().st_size
        with open(file, "rb") as stream:
            stream.seek(max(0, size - _PRINTED))
            text = stream.read(_PRINTED).decode(errors="replace")
        file.unlink()
    except FileNotFoundError:
        return
    yield from (Event(event="output", message=line.rstrip()) for line in text.splitlines() if line.strip())


_SHORTER = "set TMPDIR to a folder with a shorter path: a socket lies in it, whose path has 108 bytes at most"


def _not_started(job: Job, error: EOFError | OSError) -> Outcome:
    ended = isinstance(error, EOFError | ConnectionError)
    cause = "the one that starts all has ended, as the system ends one that takes too much memory" if ended else reason(error)
    failure = Failure(
        stage="start",
        kind="NotStarted",
        message=f"its process could not be started: {cause}",
        hint=_SHORTER if "AF_UNIX path too long" in cause else "run it with fewer --jobs, or on a machine with more memory",
        is_transient=ended,
    )
    return Outcome.of(job, "failed", failure=failure)


def _died(worker: _Worker) -> Outcome:
    """The error for a worker that ended without an Outcome. One that was killed beside others may have lacked memory."""
    code = worker.process.exitcode or 0
    cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    killed = code == -signal.SIGKILL
    job = worker.planned.plan.job
    log = JobLog(job).path
    look = f"look into {log}, " if log else ""
    failure = Failure(
        stage=worker.last_stage,
        kind="WorkerDied",
        message=f"its process ended without a word ({cause}){', as the system ends one that takes too much memory' if killed else ''}",
        hint="run it with fewer --jobs, or on a machine with more memory" if killed else f"{look}run it alone with --debug and report it",
        is_transient=killed and worker.in_company,
    )
    return Outcome.of(job, "failed", failure=failure)


def _too_long(worker: _Worker, timeout: float) -> Outcome:
    job = worker.planned.plan.job
    log = JobLog(job).path
    look = f", or see its log {log}" if log else ""
    failure = Failure(
        stage=worker.last_stage,
        kind="TimedOut",
        message=f"it was not done after {timeout:g} s, and was ended",
        hint=f"give it more time with --timeout{look}",
    )
    return Outcome.of(job, "failed", failure=failure)
