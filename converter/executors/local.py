"""Jobs in child processes of this machine, forked from a server that has imported torch and transformers once.

A crash, a leak or an out-of-memory kill costs one job, and the imports are paid once for the whole batch.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Protocol

from converter.errors import reason
from converter.executors import admission
from converter.pipeline import Plan, carry_out, plan_job
from converter.records import Failure, Job, Outcome
from converter.staging import sweep

_PRELOAD = "converter.executors.preload"


class Observer(Protocol):
    """Is told how the batch goes; `index` is the job's place in the sequence that was given."""

    def stage(self, index: int, name: str) -> None: ...


@dataclass
class _Worker:
    process: ForkServerProcess
    index: int
    plan: Plan
    last_stage: str = "start"


@dataclass
class _Queue:
    """The jobs that wait, the next one last, and the one that is planned and waits for `room`: bytes of memory, None for any."""

    waiting: list[tuple[int, Job]]
    observer: Observer
    room: int | None
    held: tuple[int, Plan] | None = None

    def __bool__(self) -> bool:
        return bool(self.waiting or self.held)

    def take(self, running: Sequence[Plan]) -> tuple[int, Plan | Outcome] | None:
        """The next job, planned, or its Outcome; None for now where it is not predicted to fit beside those that run."""
        if self.held is None:
            index, job = self.waiting.pop()
            planned = plan_job(job, lambda name: self.observer.stage(index, name))
            if isinstance(planned, Outcome):
                return index, planned
            self.held = index, planned
        if self.room is not None and running and sum(map(admission.predicted_bytes, [self.held[1], *running])) > self.room:
            return None
        taken, self.held = self.held, None
        return taken

    def drop(self) -> Job:
        """The next job, which will not be done."""
        dropped = self.held[1].job if self.held else self.waiting.pop()[1]
        self.held = None
        return dropped


def run(jobs: Sequence[Job], workers: int | None, observer: Observer, halted: Callable[[], bool] = lambda: False) -> Iterator[Outcome]:
    """Do `jobs`, at most `workers` at a time, and give each Outcome as soon as there is one.

    Where `workers` is None it is as many as there are cores, and no job is begun beside others that memory is not predicted to hold
    with them; one that it does not hold at all runs alone.

    Once `halted` says so no other is started; those that run come to their end.

    A job that is done already, or that fails before its weights are touched, never costs a process. On an interruption
    the workers are ended, and take with them what they staged; what a killed one leaves is swept away for it.
    """
    running: dict[Connection, _Worker] = {}
    places = workers or min(admission.cores(), max(1, len(jobs)))
    queue = _Queue(list(enumerate(jobs))[::-1], observer, None if workers else admission.available_bytes())
    threads = max(1, (os.cpu_count() or 1) // places)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOAD])
    try:
        while queue or running:
            while queue and len(running) < places:
                if halted():
                    yield Outcome.of(queue.drop(), "cancelled")
                    continue
                taken = queue.take([worker.plan for worker in running.values()])
                if taken is None:
                    break
                index, planned = taken
                started = planned if isinstance(planned, Outcome) else _start(context, index, planned, threads)
                if isinstance(started, Outcome):
                    yield started
                    continue
                running[started[0]] = started[1]
            for connection in wait(list(running)) if running else ():
                assert isinstance(connection, Connection)
                worker = running[connection]
                message = _receive(connection, worker)
                if isinstance(message, Outcome):
                    del running[connection]
                    connection.close()
                    worker.process.join()
                    yield message
                else:
                    worker.last_stage = message
                    observer.stage(worker.index, message)
    finally:
        for worker in running.values():
            worker.process.terminate()
        for worker in running.values():
            worker.process.join()


def _start(context: ForkServerContext, index: int, plan: Plan, threads: int) -> tuple[Connection, _Worker] | Outcome:
    """A worker for a job, and where it will be heard; the Outcome of a job that the system starts none for."""
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(plan, theirs, threads), daemon=True)
    try:
        process.start()
    except (EOFError, OSError) as error:  # its server has ended, and the next job starts another; or the system lets none start
        ours.close()
        return _not_started(plan.job, error)
    finally:
        theirs.close()
    return ours, _Worker(process, index, plan)


def _receive(connection: Connection, worker: _Worker) -> Outcome | str:
    """The worker's next word: a stage's name, its Outcome, or the Outcome of its death."""
    try:
        message: Outcome | str = connection.recv()
    except EOFError:
        worker.process.join()
        assert worker.process.pid
        sweep(worker.plan.job.destination, worker.process.pid)
        return _died(worker)
    return message


def _not_started(job: Job, error: EOFError | OSError) -> Outcome:
    ended = isinstance(error, EOFError | ConnectionError)
    cause = "the one that starts all has ended, as the system ends one that takes too much memory" if ended else reason(error)
    failure = Failure(
        stage="start",
        kind="NotStarted",
        message=f"its process could not be started: {cause}",
        hint="run it with fewer --jobs, or on a machine with more memory",
    )
    return Outcome.of(job, "failed", failure=failure)


def _died(worker: _Worker) -> Outcome:
    code = worker.process.exitcode or 0
    cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    killed = code == -signal.SIGKILL
    failure = Failure(
        stage=worker.last_stage,
        kind="WorkerDied",
        message=f"its process ended without a word ({cause}){', as the system ends one that takes too much memory' if killed else ''}",
        hint="run it with fewer --jobs, or on a machine with more memory" if killed else "run it alone with --debug and report it",
    )
    return Outcome.of(worker.plan.job, "failed", failure=failure)


def _work(plan: Plan, connection: Connection, threads: int) -> None:
    """A worker's whole life: one job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C too, and ends the workers
    signal.signal(signal.SIGTERM, _raise_exit)  # so that the staged files are removed on the way out
    import torch

    from converter.executors.preload import THREADS

    torch.set_num_threads(min(threads, THREADS))
    connection.send(carry_out(plan, connection.send))
    connection.close()


def _raise_exit(number: int, _: object) -> None:
    raise SystemExit(128 + number)
