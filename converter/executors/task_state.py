"""A task of a cluster from the command's side: its jobs, their events, and their Outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from converter.artifacts.record_file import read_record
from converter.artifacts.staging import sweep
from converter.artifacts.versions import versions_of
from converter.backends import BACKENDS
from converter.core.records import Failure, Job, Outcome, Pushed
from converter.pipeline import Plan, finish
from converter.publish.batch import Pushes, PushGroup


@dataclass
class TaskState:
    """A submitted task: its jobs by their position in the batch, and the messages so far."""

    jobs: Sequence[tuple[int, Job]]
    group: PushGroup | None
    plans: Sequence[Plan | Outcome] = ()
    attempt: int = 1
    cores: int = 1
    memory: int = 0
    begun: bool = False
    withdrawn: bool = False
    stages: dict[int, str] = field(default_factory=dict)
    results: set[int] = field(default_factory=set)


def group_jobs(jobs: Sequence[Job], pushes: Pushes) -> Iterator[TaskState]:
    """Make a task of each push, and of each job that belongs to none, in the order of their first jobs."""
    groups = pushes.by_destination
    together: dict[int, list[tuple[int, Job]]] = {}
    for index, job in enumerate(jobs):
        group = groups.get(str(job.destination))
        together.setdefault(id(group) if group else -1 - index, []).append((index, job))
    for members in together.values():
        yield TaskState(members, groups.get(str(members[0][1].destination)))


def absolute_job(job: Job) -> Job:
    """Return the job with paths that mean the same on every node."""
    folder, config = job.source.folder, job.options.config
    return replace(
        job,
        source=replace(job.source, folder=folder.absolute()) if folder else job.source,
        options=job.options.model_copy(update={"config": str(Path(config).absolute())}) if config else job.options,
        destination=job.destination.absolute(),
        model_folder=job.model_folder.absolute() if job.model_folder else None,
        cache=job.cache.absolute() if job.cache else None,
    )


def package_versions(plan: Plan) -> Mapping[str, str]:
    """Return the versions of installed packages in a plan, without those of its custom configuration."""
    return {name: plan.versions[name] for name in versions_of(BACKENDS[plan.job.backend].packages)}


def rename_outcome(outcome: Outcome, task: TaskState, place: int) -> Outcome:
    """Return an outcome by the job's own names. An artifact that a lost attempt left was made by this run."""
    job = task.jobs[place][1]
    away = str(job.destination.absolute())
    log = outcome.log and outcome.log.replace(away, str(job.destination))
    outcome = outcome.model_copy(update={"destination": str(job.destination), "log": log})
    if task.attempt > 1 and outcome.status == "skipped" and outcome.artifact and isinstance(task.plans[place], Plan):
        record, notes = read_record(job.destination), (*outcome.notes, "it was made by an attempt whose node was lost afterwards")
        stages = record.stages if record else outcome.stages
        return outcome.model_copy(update={"status": "converted", "stages": stages, "notes": notes})
    return outcome


def rename_push(pushed: Pushed, task: TaskState) -> Pushed:
    """Return a push by the jobs' own names."""
    names = {str(job.destination.absolute()): str(job.destination) for _, job in task.jobs}
    return pushed.model_copy(update={"artifacts": tuple(names[name] for name in pushed.artifacts)})


def fail_jobs(task: TaskState, kind: str, message: str, hint: str, cause: str) -> Iterator[Outcome]:
    """Fail the jobs of a task that have no Outcome yet."""
    for place, (_, job) in enumerate(task.jobs):
        if place not in task.results:
            failure = Failure(stage=task.stages.get(place, "start"), kind=kind, message=f"{message}: {cause}", hint=hint)
            yield finish(job, Outcome.of(job, "failed", failure=failure))


def sweep_staged(task: TaskState, until: float = 0.0) -> None:
    """Remove the staged files of a lost node. A node that lives on, cut off, keeps its lock: another attempt respects it too.

    Jobs that are ending are waited for, `until` by the monotonic clock.
    """
    for _, job in task.jobs:
        sweep(job.destination, until)
