"""A batch: jobs, and the pushes of their artifacts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from converter.core.records import Job, Outcome, Pushed
from converter.executors import local
from converter.executors.limits import Limits
from converter.publish.batch import Pushes


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Batch:
    """The work of one run.

    Args:
        jobs: the jobs.
        pushes: the pushes of their artifacts.
        limits: the limits of every job.
        halted: after it returns true, nothing is started; running jobs continue.
    """

    jobs: Sequence[Job]
    pushes: Pushes = field(default_factory=Pushes)
    limits: Limits = field(default_factory=Limits)
    halted: Callable[[], bool] = _never


def run_here(batch: Batch, workers: int | None, observer: local.Observer) -> Generator[Outcome | Pushed]:
    """Run a batch on this machine, see `local.run`, and push each model's artifacts after its last job."""
    for outcome in local.run(batch.jobs, workers, observer, batch.halted, batch.limits):
        yield outcome
        yield from batch.pushes.after(outcome)
