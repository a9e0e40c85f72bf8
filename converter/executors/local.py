"""Jobs in child processes of this machine, forked from a server that has imported torch and transformers once.

A crash, a leak or an out-of-memory kill costs one job, and the imports are paid once for the whole batch.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
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

_PRELOAD = ["converter.executors.preload", "converter.cli"]
"""What the server imports; the second is what the script `converter` does, which multiprocessing runs in each worker (43 CPU ms)."""


class Observer(Protocol):
    """Is told how the batch goes; `index` is the job's place in the sequence that was given."""

    def stage(self, index: int, name: str) -> None: ...


@dataclass(frozen=True)
class _Planned:
    """A job that is to be done, its place among all, and the bytes of memory that it is predicted to take."""

    index: int
    plan: Plan
    predicted: int


@dataclass
class _Worker:
    process: ForkServerProcess
    job: _Planned
    last_stage: str = "start"


def run(jobs: Sequence[Job], workers: int | None, observer: Observer, halted: Callable[[], bool] = lambda: False) -> Iterator[Outcome]:
    """Do `jobs`, at most `workers` at a time, and give each Outcome as soon as there is one.

    Where `workers` is None it is as many as there are cores and as memory is predicted to hold: see `admission.Admission`.
    Once `halted` says so no other is started; those that run come to their end.

    A job that is done already, or that fails before its weights are touched, never costs a process. On an interruption
    the workers are ended, and take with them what they staged; what a killed one leaves is swept away for it.
    """
    unplanned = deque(enumerate(jobs))
    waiting: list[_Planned] = []
    running: dict[Connection, _Worker] = {}
    admitted = admission.admission(workers, len(jobs))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    try:
        while unplanned or waiting or running:
            begins = admitted.choose([each.predicted for each in waiting], [each.job.predicted for each in running.values()])
            plans = begins is None and len(waiting) < admission.PATIENCE and len(running) < admitted.workers and bool(unplanned)
            if halted():
                yield from (Outcome.of(job, "cancelled") for job in (*(each.plan.job for each in waiting), *(job for _, job in unplanned)))
                waiting, unplanned = [], deque()
            elif begins is not None:
                chosen = waiting.pop(begins)
                left = len(running) + 1 + len(waiting) + len(unplanned)
                started = _start(context, chosen, admitted.threads(chosen.predicted, left))
                if isinstance(started, Outcome):
                    yield started
                else:
                    running[started[0]] = started[1]
                continue
            elif plans:
                planned = _plan(*unplanned.popleft(), observer)
                if isinstance(planned, Outcome):
                    yield planned
                else:
                    waiting.append(planned)
            yield from _hear(running, observer, 0 if plans else None)
    finally:
        for worker in running.values():
            worker.process.terminate()
        for worker in running.values():
            worker.process.join()


def _plan(index: int, job: Job, observer: Observer) -> _Planned | Outcome:
    planned = plan_job(job, lambda name: observer.stage(index, name))
    return planned if isinstance(planned, Outcome) else _Planned(index, planned, admission.predicted_bytes(planned))


def _start(context: ForkServerContext, job: _Planned, threads: int) -> tuple[Connection, _Worker] | Outcome:
    """A worker for a job, and where it will be heard; the Outcome of a job that the system starts none for."""
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job.plan, theirs, threads), daemon=True)
    try:
        process.start()
    except (EOFError, OSError) as error:  # its server has ended, and the next job starts another; or the system lets none start
        ours.close()
        return _not_started(job.plan.job, error)
    finally:
        theirs.close()
    return ours, _Worker(process, job)


def _hear(running: dict[Connection, _Worker], observer: Observer, timeout: float | None) -> Iterator[Outcome]:
    """What the workers have to say, waiting for it `timeout` seconds at most; those that have ended are no longer `running`."""
    for connection in wait(list(running), timeout) if running else ():
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
            observer.stage(worker.job.index, message)


def _receive(connection: Connection, worker: _Worker) -> Outcome | str:
    """The worker's next word: a stage's name, its Outcome, or the Outcome of its death."""
    try:
        message: Outcome | str = connection.recv()
    except EOFError:
        worker.process.join()
        sweep(worker.job.plan.job.destination)
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
    return Outcome.of(worker.job.plan.job, "failed", failure=failure)


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
