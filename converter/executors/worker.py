"""A worker's life: one job, in a process that may crash, be ended, or outlive its parent."""

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
from typing import Literal, NoReturn

from converter.artifacts.staging import sweep
from converter.core.records import Event, Outcome
from converter.executors.limits import limit_memory
from converter.pipeline import Observer, OccupiedError, Plan, execute

GRACE = 5.0
"""Seconds for a worker to remove its staged files after SIGTERM."""
TELL_WHERE = signal.SIGUSR1
"""Lets a worker print each thread's stack to its standard error, even from within a native call."""


class WorkerTerminated(BaseException):
    """Ends a worker: a BaseException, so that no job catches it."""


def work(plan: Plan, connection: Connection, threads: int, memory: int, output: Path | None) -> None:
    """Run one job and send its events over `connection`, the Outcome last. If another run is at the job, the event `waiting` is the last.

    `memory` is its limit in bytes beyond its use at the start; library output goes to the file `output`.
    """
    os.setpgid(0, 0)  # a process group: its children end with it, and Ctrl-C reaches only the parent
    signal.signal(signal.SIGTERM, _end)
    if output:
        _print_into(output)
    faulthandler.enable()
    faulthandler.register(TELL_WHERE)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    from converter.executors.threads import THREADS

    limit_memory(memory, plan.checkpoint.weight_bytes)  # beyond the imports
    torch.set_num_threads(min(threads, THREADS))
    speaking = threading.Lock()  # a library may have threads that warn

    def say(what: Event | Outcome) -> None:
        with speaking, suppress(BrokenPipeError):  # where nobody listens any more, the end is near
            connection.send(what)

    logger = logging.getLogger("converter")
    logger.handlers = [_EventHandler(say)]
    logger.setLevel(logging.DEBUG if plan.job.debugging.verbose else logging.WARNING)
    terminated = False
    try:
        say(execute(plan, say, patient=False))
    except OccupiedError:
        say(Event(event="waiting"))
    except WorkerTerminated:
        terminated = True
    if terminated:  # the error and its frames are gone by now, and with them whatever they held
        sweep(plan.job.destination)
        raise SystemExit(128 + signal.SIGTERM)
    connection.close()


def _end(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: the staged files are being removed
    raise WorkerTerminated


def _print_into(output: Path) -> None:
    """Have all of the process's own and its libraries' words for nobody in particular in a file."""
    with open(output, "ab", buffering=0) as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)


def _end_with_parent() -> None:
    """End this process and its children when its parent ends."""
    parent = multiprocessing.parent_process()
    assert parent
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE)
    os.killpg(0, signal.SIGKILL)


class _EventHandler(logging.Handler):
    """Reports the package's log records as events."""

    def __init__(self, observe: Observer) -> None:
        super().__init__()
        self._observe = observe

    def emit(self, record: logging.LogRecord) -> None:
        kind: Literal["warning", "note"] = "warning" if record.levelno >= logging.WARNING else "note"
        self._observe(Event(event=kind, message=record.getMessage()))
