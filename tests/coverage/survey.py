"""Makes a tiny checkpoint for each row and converts it through the ordinary pipeline, in workers that are bound in time and memory."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path

from converter.architectures import find_architecture
from converter.core.records import Event, Job, Source
from converter.executors import local
from converter.executors.limits import Limits
from tests.coverage.results import Result, brief
from tests.coverage.rows import Row

TIMEOUT = 120.0
"""Seconds of one conversion; of a tiny model most take 5."""
_MAKING = 60.0  # seconds of making one checkpoint
_AT_ONCE = 12  # rows whose checkpoints are on the disk at the same time


def survey(rows: Iterable[Row], folder: Path, workers: int | None = None) -> Iterator[Result]:
    """Try each row, and yield each result when it is ready. Temporary files are in `folder`."""
    left, number = iter(rows), 0
    while some := list(islice(left, _AT_ONCE)):
        yield from _survey(some, folder / str(number), workers)
        shutil.rmtree(folder / str(number), ignore_errors=True)
        number += 1


def _survey(rows: Iterable[Row], folder: Path, workers: int | None) -> Iterator[Result]:
    todo: list[Row] = []
    for row in rows:
        problem = _make(_checkpoint(folder, row), row)
        if problem:
            yield Result(row, passed=False, reason=problem)
        else:
            todo.append(row)
    jobs = [_job(folder, row) for row in todo]
    by_place = {str(job.destination): row for job, row in zip(jobs, todo, strict=True)}
    for outcome in local.run(jobs, workers, _Unheard(), limits=Limits(timeout=TIMEOUT, retries=0)):
        yield Result.of(by_place[outcome.destination], outcome)
        shutil.rmtree(outcome.destination, ignore_errors=True)


class _Unheard:
    def observe(self, index: int, event: Event) -> None:
        """Ignore events: results are reported one by one."""


def _checkpoint(folder: Path, row: Row) -> Path:
    return folder / row.model_type / find_architecture(row.model_type).auto_class(row.feature)


def _job(folder: Path, row: Row) -> Job:
    checkpoint = _checkpoint(folder, row)
    return Job(
        source=Source(name=row.model_type, folder=checkpoint),
        backend=row.backend,
        options=row.options(),
        destination=folder / "out" / row.model_type / row.feature / row.backend,
    )


def _make(folder: Path, row: Row) -> str:
    """Write the checkpoint of a row, in a separate process; return why it cannot be made, or an empty text."""
    if (folder / "config.json").exists():
        return ""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(local._PRELOAD)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_make_and_tell, args=(theirs, folder, row.model_type, find_architecture(row.model_type).auto_class(row.feature))
    )
    process.start()
    theirs.close()
    problem = f"no tiny checkpoint was made in {_MAKING:.0f} seconds"
    try:
        if ours.poll(_MAKING):
            problem = ours.recv()
    except EOFError:
        problem = "the process that made a tiny checkpoint ended early"
    process.kill()
    process.join()
    return problem


def _make_and_tell(to: Connection, folder: Path, model_type: str, auto_class: str) -> None:
    from converter.core.reason import reason
    from tests.coverage.tiny import CannotBeTiny, save_tiny

    try:
        save_tiny(folder, model_type, auto_class)
    except CannotBeTiny as error:
        to.send(brief(f"no tiny checkpoint can be made: {error}"))
    except Exception as error:  # transformers may raise anything for another's configuration
        to.send(brief(f"no tiny checkpoint can be made: {reason(error)}"))
    else:
        to.send("")
