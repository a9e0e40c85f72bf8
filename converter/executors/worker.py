"""A worker's whole life: one job, in a process of its own that may crash, be ended, or outlive who started it."""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NoReturn

from converter.core.records import Event, Outcome
from converter.executors.limits import limit_memory
from converter.pipeline import Observer, Plan, execute

GRACE = 5.0
"""Seconds that a worker has to take its staged files with it, once it is told to end."""
TELL_WHERE = signal.SIGUSR1
"""Has a worker write where it is, each thread's stack, to its standard error, even from within a native call."""


class WorkerTerminated(BaseException):
    """The worker was told to end: nothing that a job raises, and nothing that it may catch."""


def work(plan: Plan, connection: Connection, threads: int, memory: int, output: Path | None) -> None:
    """Do one job and say over `connection` what happens, its Outcome last.

    `memory` is what it may take, in bytes, beyond what it has as it begins; whatever any library prints goes into the file `output`.
    """
    os.setpgid(0, 0)  # so that who ends it ends what it has started too, and Ctrl-C is the parent's to hear
    signal.signal(signal.SIGTERM, _end)
    if output:
        _print_into(output)
    faulthandler.enable()
    faulthandler.register(TELL_WHERE)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limit_memory(memory, plan.checkpoint.weight_bytes)
    import torch

    from converter.executors.preload import THREADS

    torch.set_num_threads(min(threads, THREADS))
    speaking = threading.Lock()  # a library may have threads that warn

    def say(what: Event | Outcome) -> None:
        with speaking, suppress(BrokenPipeError):  # where nobody listens any more, the end is near
            connection.send(what)

    logging.getLogger("converter").handlers = [_Teller(say)]
    try:
        say(execute(plan, say))
    except WorkerTerminated:
        raise SystemExit(128 + signal.SIGTERM) from None
    connection.close()


def _end(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough, and what is staged is on its way out
    raise WorkerTerminated


def _print_into(output: Path) -> None:
    """Have all of the process's own and its libraries' words for nobody in particular in a file."""
    with open(output, "ab", buffering=0) as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)


def _end_with_parent() -> None:
    """End this process, and what it has started, when the one that wanted the job ends, however that does."""
    parent = multiprocessing.parent_process()
    assert parent
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE)
    os.killpg(0, signal.SIGKILL)


class _Teller(logging.Handler):
    """Tells what this package logs as events."""

    def __init__(self, tell: Observer) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(Event(event="warning", message=record.getMessage()))
