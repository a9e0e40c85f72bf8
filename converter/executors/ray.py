"""Jobs on the nodes of a Ray cluster: planned here, done there by each node's own local executor, with the very same Outcomes."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

from converter.artifacts.staging import is_occupied
from converter.core.errors import UsageError
from converter.core.records import Job, Outcome, Pushed
from converter.executors import memory_prediction
from converter.executors.batch import Batch
from converter.executors.cluster_messages import Cancel, Done, Heard, JobEvent, Message, Node, Nodes, Submit, Task, TaskEnded
from converter.executors.local import Observer
from converter.executors.ray_connection import LOCAL, ClusterConnection, connect
from converter.executors.shared_folder import SharedFolderProbe, put_probe
from converter.executors.task_state import (
    TaskState,
    absolute_job,
    fail_jobs,
    group_jobs,
    package_versions,
    rename_outcome,
    rename_push,
    sweep_staged,
)
from converter.pipeline import Plan, finish, plan_job

ATTEMPTS = 3
"""How often a task is given to the cluster that is lost with its node each time."""
_WITHOUT_CORES = 60.0  # seconds for a cluster that has lost its last core to come by another
_SWEEP = 30.0  # seconds for orphaned workers to end, which Ray runs at a low priority
_TURN = 1.0  # seconds between two looks whether all is lost

_logger = logging.getLogger(__name__)


def run(batch: Batch, output: Path, observer: Observer, address: str = LOCAL) -> Generator[Outcome | Pushed]:
    """Run a batch on the cluster at `address`; yield each Outcome when it is ready, and the results of its pushes.

    `address` is HOST:PORT, `auto` for the cluster of this machine, or `local`. An unchanged job, or one that fails before its weights
    are read, needs no task. All jobs of one push are one task, and its node pushes them. An interruption cancels tasks, and they remove
    their staged files; those of a killed one are removed for it.

    Raises UsageError without such a cluster, before anything starts; later failures become Outcomes.
    """
    if find_spec("ray") is None:
        raise UsageError("Ray is not installed; nothing was started", 'run `pip install "converter[ray]"`, here and on all nodes')
    tasks: dict[int, TaskState] = {}
    try:
        with connect(address) as cluster, put_probe(output) as probe:
            yield from _Tasks(batch, observer, cluster, probe, tasks).outcomes()
    finally:  # an interruption leaves tasks, and Ray may have killed what would have cleaned up after them
        until = monotonic() + _SWEEP
        for task in tasks.values():
            sweep_staged(task, until)


@dataclass
class _Tasks:
    """The tasks of a batch that are with the cluster, by their numbers."""

    batch: Batch
    observer: Observer
    cluster: ClusterConnection
    probe: SharedFolderProbe
    tasks: dict[int, TaskState] = field(default_factory=dict)
    numbers: int = 0
    barren: float | None = None

    def outcomes(self) -> Iterator[Outcome | Pushed]:
        waiting = deque(group_jobs(self.batch.jobs, self.batch.pushes))
        while waiting or self.tasks:
            if self._is_lost():
                yield from self._give_up([*self.tasks.values(), *waiting])
                return
            if self.batch.halted():
                yield from (Outcome.of(job, "cancelled") for task in waiting for _, job in task.jobs)
                waiting.clear()
                self._withdraw(lambda _: True)
            elif waiting and self._has_room():
                yield from self._begin(_pop_free(waiting))
            yield from self._hear(0 if waiting and self._has_room() else _TURN)

    def _has_room(self) -> bool:
        """None goes far ahead of the first that waits for a node that can hold it."""
        first = next((number for number, task in self.tasks.items() if not task.begun), self.numbers)
        return len(self.tasks) < self.cluster.window and self.numbers - first < self.cluster.window

    def _begin(self, task: TaskState) -> Iterator[Outcome | Pushed]:
        """Plan a task's jobs, and submit it if one of them has work left."""
        task.plans = [self._plan(index, job) for index, job in task.jobs]
        if any(isinstance(plan, Plan) for plan in task.plans):
            self._submit(task)
            return
        for outcome in task.plans:
            assert isinstance(outcome, Outcome)
            yield outcome
            yield from self.batch.pushes.after(outcome)

    def _plan(self, index: int, job: Job) -> Plan | Outcome:
        planned = plan_job(job, partial(self.observer.observe, index))
        return finish(job, planned) if isinstance(planned, Outcome) and planned.failure else planned

    def _submit(self, task: TaskState) -> None:
        plans = [plan for plan in task.plans if isinstance(plan, Plan)]
        predicted = max(map(memory_prediction.predicted_bytes, plans))
        task.cores, task.memory = demand(predicted, self.cluster.nodes)
        if self.cluster.nodes and task.memory < predicted + memory_prediction.SERVER_BYTES:
            _logger.warning(
                "%s: no node has the %.1f GB that it is predicted to take; it gets all of one", plans[0].job.source, predicted / 1e9
            )
        message = Task(
            jobs=tuple(absolute_job(job) for _, job in task.jobs),
            limits=self.batch.limits,
            versions={plan.job.backend: package_versions(plan) for plan in plans},
            probe=self.probe,
            target=task.group.target if task.group else None,
        )
        task.begun = task.withdrawn = False
        self.numbers += 1
        self.tasks[self.numbers] = task
        self.cluster.submit(Submit(self.numbers, message, task.cores, task.memory))

    def _withdraw(self, unwanted: Callable[[TaskState], bool]) -> None:
        """Cancel tasks that no node has started."""
        for number, task in self.tasks.items():
            if not (task.begun or task.withdrawn) and unwanted(task):
                task.withdrawn = True
                self.cluster.submit(Cancel(number))

    def _hear(self, timeout: float) -> Iterator[Outcome | Pushed]:
        word = self.cluster.hear(timeout)
        if isinstance(word, Heard) and word.number in self.tasks:
            yield from self._heard(self.tasks[word.number], word.message)
        elif isinstance(word, TaskEnded):
            yield from self._ended(self.tasks.pop(word.number), word)
        elif isinstance(word, Nodes) and word.nodes:
            self._withdraw(self._fits_nowhere)

    def _fits_nowhere(self, task: TaskState) -> bool:
        """Whether the nodes that could hold a task are gone; it is measured again by those that are left."""
        return not any(node.cores >= task.cores and node.memory >= task.memory for node in self.cluster.nodes)

    def _heard(self, task: TaskState, message: Message) -> Iterator[Outcome | Pushed]:
        task.begun = True
        if isinstance(message, JobEvent):
            task.stages[message.place] = message.event.stage or task.stages.get(message.place, "start")
            self.observer.observe(task.jobs[message.place][0], message.event)
        elif isinstance(message, Done) and message.place not in task.results:
            task.results.add(message.place)
            yield rename_outcome(message.outcome, task, message.place)
        elif isinstance(message, Pushed):
            assert task.group
            yield rename_push(message, task)

    def _ended(self, task: TaskState, end: TaskEnded) -> Iterator[Outcome | Pushed]:
        if end.how == "done" and len(task.results) < len(task.jobs):  # Ray ends the stream of a cancelled task so, now and then
            end = TaskEnded(end.number, "cancelled" if task.withdrawn else "lost", "it ended without a result")
        again = task.attempt < ATTEMPTS and not self.batch.halted()
        if end.how == "lost":
            sweep_staged(task, 0.0 if again else monotonic() + _SWEEP)  # another attempt sweeps too
        if end.how == "lost" and again:
            task.attempt += 1
            _logger.warning("%s: %s; it is done again", task.jobs[0][1].source, end.cause)
            self._submit(task)
        elif end.how == "cancelled" and not self.batch.halted():
            self._submit(task)
        elif end.how == "cancelled":
            yield from (Outcome.of(job, "cancelled") for place, (_, job) in enumerate(task.jobs) if place not in task.results)
        elif end.how != "done":
            yield from fail_jobs(task, *_LOST[end.how], end.cause)

    def _is_lost(self) -> bool:
        """Whether nothing more can come of it: Ray has ended its driver, or there has been no core for too long."""
        if self.cluster.nodes:
            self.barren = None
        elif self.barren is None:
            self.barren = monotonic()
        return self.cluster.lost or (self.barren is not None and monotonic() - self.barren > _WITHOUT_CORES)

    def _give_up(self, tasks: Sequence[TaskState]) -> Iterator[Outcome]:
        cause = "Ray has ended its driver" if self.cluster.lost else f"it has had no core for {_WITHOUT_CORES:.0f} s"
        for task in tasks:
            sweep_staged(task)
            yield from fail_jobs(task, "ClusterLost", "the cluster was lost", _RESTART, cause)


def _pop_free(waiting: deque[TaskState]) -> TaskState:
    """Take the first task whose jobs no other run is at, or the first of all."""
    place = next((place for place, task in enumerate(waiting) if not any(is_occupied(job.destination) for _, job in task.jobs)), 0)
    task = waiting[place]
    del waiting[place]
    return task


_RESTART = "start the cluster again, and run the same command again: finished jobs are skipped"
_LOST: Mapping[str, tuple[str, str, str]] = {
    "lost": (
        "NodeLost",
        f"it was lost with the node that did it, {ATTEMPTS} times",
        "give the nodes more memory, or look into Ray's logs on them; then run the same command again",
    ),
    "fault": (
        "NodeFault",
        "the node could not do it",
        "see that all nodes have the converter installed, in the driver's version; then run the same command again",
    ),
}


def demand(predicted: int, nodes: Sequence[Node]) -> tuple[int, int]:
    """The free cores and bytes of memory that a node needs for a job with this predicted memory, beyond the imports.

    A job gets the same share of the largest node's cores as of its memory. It requests at most that node's memory, because a prediction
    may be wrong; without nodes, one core and any memory.
    """
    if not nodes:
        return 1, 0
    wanted = predicted + memory_prediction.SERVER_BYTES
    roomiest = max(nodes, key=lambda node: (node.memory, node.cores))
    at_once = max(1, min(roomiest.cores, roomiest.memory // wanted))
    return roomiest.cores // at_once, min(wanted, roomiest.memory)
