"""Jobs on the nodes of a Ray cluster: planned here, done there by each node's own local executor, with the very same Outcomes."""

from __future__ import annotations

import logging
import multiprocessing
import secrets
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic

from converter.artifacts.staging import sweep
from converter.artifacts.versions import versions_of
from converter.backends import BACKENDS
from converter.core.errors import UsageError
from converter.core.output_errors import output_error
from converter.core.records import Failure, Job, Outcome, Pushed
from converter.executors import admission
from converter.executors.cluster import Cancel, DriverMessage, Heard, Node, Nodes, Refused, Submit, TaskEnded, serve
from converter.executors.limits import Limits
from converter.executors.local import Observer
from converter.executors.node import Done, JobEvent, Message, SharedFolderProbe, Task
from converter.pipeline import Plan, finish, plan_job
from converter.push.batch import Pushes, PushGroup

ATTEMPTS = 3
"""How often a task is given to the cluster that is lost with its node each time."""
LOCAL = "local"
"""The address of a cluster of this machine's cores, which is started for the batch and ends with it."""
PER_CORE = 2
"""Tasks given to the cluster for each of its cores: one that runs, and one that waits for it to end."""
_START = 60.0  # seconds for a cluster to be reached, or started
_WITHOUT_CORES = 60.0  # seconds for a cluster that has lost its last core to come by another
_FAREWELL = 30.0  # seconds for Ray's driver to end
_TURN = 1.0  # seconds between two looks whether all is lost

_logger = logging.getLogger(__name__)


def run(
    jobs: Sequence[Job],
    pushes: Pushes,
    output: Path,
    observer: Observer,
    halted: Callable[[], bool] = lambda: False,
    address: str = LOCAL,
    limits: Limits = Limits(),  # noqa: B008 - it is frozen
) -> Generator[Outcome | Pushed]:
    """Do `jobs` on the cluster at `address` and give each Outcome as soon as there is one, and what became of each of `pushes`.

    `address` is HOST:PORT, `auto` for the cluster that this machine is a node of, or `local`. What is done already, or fails before its
    weights are touched, costs no task. All jobs of one push are one task, and pushed by the node that has done them. Once `halted`
    says so no other begins; those that run come to their end. On an interruption they are cancelled, and clear away what they staged.

    Raises UsageError, with nothing started, where there is no such cluster; whatever happens later becomes an Outcome.
    """
    if find_spec("ray") is None:
        raise UsageError("Ray is not installed; nothing was started", 'run `pip install "converter[ray]"`, here and on all nodes')
    with _cluster(address) as cluster, _probe(output) as probe:
        yield from _Batch(jobs, pushes, observer, halted, cluster, probe, limits).outcomes()


@dataclass
class _Unit:
    """A task on its way: its jobs by their place among all, and what has been heard of it."""

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


@dataclass
class _Cluster:
    """Ray's driver, from the other end of its pipe."""

    connection: Connection
    nodes: tuple[Node, ...]
    lost: bool = False

    @property
    def window(self) -> int:
        """How many tasks it is given at a time."""
        return PER_CORE * sum(node.cores for node in self.nodes)

    def submit(self, order: Submit | Cancel) -> None:
        try:
            self.connection.send(order)
        except OSError:
            self.lost = True

    def hear(self, timeout: float) -> DriverMessage | None:
        """What it has to say within `timeout` seconds."""
        try:
            word: DriverMessage | None = self.connection.recv() if self.connection.poll(timeout) else None
        except (EOFError, OSError):
            self.lost = True
            return None
        if isinstance(word, Nodes):
            self.nodes = word.nodes
        return word


@dataclass
class _Batch:
    """The tasks that are still to be given, and those that are with the cluster, by their numbers."""

    jobs: Sequence[Job]
    pushes: Pushes
    observer: Observer
    halted: Callable[[], bool]
    cluster: _Cluster
    probe: SharedFolderProbe
    limits: Limits
    tasks: dict[int, _Unit] = field(default_factory=dict)
    numbers: int = 0
    barren: float | None = None

    def outcomes(self) -> Iterator[Outcome | Pushed]:
        units = deque(_units(self.jobs, self.pushes))
        while units or self.tasks:
            if self._is_lost():
                yield from self._give_up([*self.tasks.values(), *units])
                return
            if self.halted():
                yield from (Outcome.of(job, "cancelled") for unit in units for _, job in unit.jobs)
                units.clear()
                self._withdraw(lambda _: True)
            elif units and self._has_room():
                yield from self._begin(units.popleft())
            yield from self._hear(0 if units and self._has_room() else _TURN)

    def _has_room(self) -> bool:
        """None goes far ahead of the first that waits for a node that can hold it."""
        first = next((number for number, unit in self.tasks.items() if not unit.begun), self.numbers)
        return len(self.tasks) < self.cluster.window and self.numbers - first < self.cluster.window

    def _begin(self, unit: _Unit) -> Iterator[Outcome | Pushed]:
        """Plan a task's jobs, and give it to the cluster where one of them is still to be done."""
        unit.plans = [self._plan(index, job) for index, job in unit.jobs]
        if any(isinstance(plan, Plan) for plan in unit.plans):
            self._submit(unit)
            return
        for outcome in unit.plans:
            assert isinstance(outcome, Outcome)
            yield outcome
            yield from self.pushes.after(outcome)

    def _plan(self, index: int, job: Job) -> Plan | Outcome:
        planned = plan_job(job, partial(self.observer.tell, index))
        return finish(job, planned) if isinstance(planned, Outcome) and planned.failure else planned

    def _submit(self, unit: _Unit) -> None:
        plans = [plan for plan in unit.plans if isinstance(plan, Plan)]
        predicted = max(map(admission.predicted_bytes, plans))
        unit.cores, unit.memory = demand(predicted, self.cluster.nodes)
        if self.cluster.nodes and unit.memory < predicted + admission.SERVER_BYTES:
            _logger.warning(
                "%s: no node has the %.1f GB that it is predicted to take; it gets all of one", plans[0].job.source, predicted / 1e9
            )
        task = Task(
            jobs=tuple(_absolute(job) for _, job in unit.jobs),
            limits=self.limits,
            versions={plan.job.backend: _packages(plan) for plan in plans},
            probe=self.probe,
            target=unit.group.target if unit.group else None,
        )
        unit.begun = unit.withdrawn = False
        self.numbers += 1
        self.tasks[self.numbers] = unit
        self.cluster.submit(Submit(self.numbers, task, unit.cores, unit.memory))

    def _withdraw(self, unwanted: Callable[[_Unit], bool]) -> None:
        """Cancel those of the tasks that no node has begun."""
        for number, unit in self.tasks.items():
            if not (unit.begun or unit.withdrawn) and unwanted(unit):
                unit.withdrawn = True
                self.cluster.submit(Cancel(number))

    def _hear(self, timeout: float) -> Iterator[Outcome | Pushed]:
        word = self.cluster.hear(timeout)
        if isinstance(word, Heard) and word.number in self.tasks:
            yield from self._heard(self.tasks[word.number], word.message)
        elif isinstance(word, TaskEnded):
            yield from self._ended(self.tasks.pop(word.number), word)
        elif isinstance(word, Nodes) and word.nodes:
            self._withdraw(self._fits_nowhere)

    def _fits_nowhere(self, unit: _Unit) -> bool:
        """Whether the nodes that could hold a task are gone; it is measured again by those that are left."""
        return not any(node.cores >= unit.cores and node.memory >= unit.memory for node in self.cluster.nodes)

    def _heard(self, unit: _Unit, message: Message) -> Iterator[Outcome | Pushed]:
        unit.begun = True
        if isinstance(message, JobEvent):
            unit.stages[message.place] = message.event.stage or unit.stages.get(message.place, "start")
            self.observer.tell(unit.jobs[message.place][0], message.event)
        elif isinstance(message, Done) and message.place not in unit.results:
            unit.results.add(message.place)
            yield _as_asked(message.outcome, unit, message.place)
        elif isinstance(message, Pushed):
            assert unit.group
            yield _push_as_asked(message, unit)

    def _ended(self, unit: _Unit, end: TaskEnded) -> Iterator[Outcome | Pushed]:
        if end.how == "done" and len(unit.results) < len(unit.jobs):  # Ray ends the stream of a cancelled task so, now and then
            end = TaskEnded(end.number, "cancelled" if unit.withdrawn else "lost", "it has ended without a word of what became of it")
        if end.how == "lost":
            _clear_away(unit)
        if end.how == "lost" and unit.attempt < ATTEMPTS and not self.halted():
            unit.attempt += 1
            _logger.warning("%s: %s; it is done again", unit.jobs[0][1].source, end.cause)
            self._submit(unit)
        elif end.how == "cancelled" and not self.halted():
            self._submit(unit)
        elif end.how == "cancelled":
            yield from (Outcome.of(job, "cancelled") for place, (_, job) in enumerate(unit.jobs) if place not in unit.results)
        elif end.how != "done":
            yield from _failed(unit, *_LOST[end.how], end.cause)

    def _is_lost(self) -> bool:
        """Whether nothing more can come of it: Ray has ended its driver, or there has been no core for too long."""
        if self.cluster.nodes:
            self.barren = None
        elif self.barren is None:
            self.barren = monotonic()
        return self.cluster.lost or (self.barren is not None and monotonic() - self.barren > _WITHOUT_CORES)

    def _give_up(self, units: Sequence[_Unit]) -> Iterator[Outcome]:
        cause = "Ray has ended its driver" if self.cluster.lost else f"it has had no core for {_WITHOUT_CORES:.0f} s"
        for unit in units:
            _clear_away(unit)
            yield from _failed(unit, "ClusterLost", "the cluster was lost", _RESTART, cause)


_RESTART = "start the cluster again, and run the same command again: what is done is not done again"
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
    """The cores and the bytes of memory that a node has to have free for a job of so many predicted bytes, beyond the imports.

    A job gets the share of the roomiest node's cores that it takes of its memory. It asks for no more than that node has,
    as a prediction is no reason to refuse it; where there is none, for one core and whatever memory.
    """
    if not nodes:
        return 1, 0
    wanted = predicted + admission.SERVER_BYTES
    roomiest = max(nodes, key=lambda node: (node.memory, node.cores))
    at_once = max(1, min(roomiest.cores, roomiest.memory // wanted))
    return roomiest.cores // at_once, min(wanted, roomiest.memory)


def _units(jobs: Sequence[Job], pushes: Pushes) -> Iterator[_Unit]:
    """A task for each push, and for each job that belongs to none, in the order of their first jobs."""
    groups = pushes.by_destination
    together: dict[int, list[tuple[int, Job]]] = {}
    for index, job in enumerate(jobs):
        group = groups.get(str(job.destination))
        together.setdefault(id(group) if group else -1 - index, []).append((index, job))
    for members in together.values():
        yield _Unit(members, groups.get(str(members[0][1].destination)))


def _absolute(job: Job) -> Job:
    """The job with paths that mean the same wherever it is done."""
    folder, config = job.source.folder, job.options.config
    return replace(
        job,
        source=replace(job.source, folder=folder.absolute()) if folder else job.source,
        options=job.options.model_copy(update={"config": str(Path(config).absolute())}) if config else job.options,
        destination=job.destination.absolute(),
        model_folder=job.model_folder.absolute() if job.model_folder else None,
        cache=job.cache.absolute() if job.cache else None,
    )


def _packages(plan: Plan) -> Mapping[str, str]:
    """Of a plan's versions those of installed packages; the others are of its own configuration's contents."""
    return {name: plan.versions[name] for name in versions_of(BACKENDS[plan.job.backend].packages)}


def _as_asked(outcome: Outcome, unit: _Unit, place: int) -> Outcome:
    """An outcome by the job's own names. What a lost attempt had put in its place already was made by this run."""
    job = unit.jobs[place][1]
    away = str(job.destination.absolute())
    log = outcome.log and outcome.log.replace(away, str(job.destination))
    outcome = outcome.model_copy(update={"destination": str(job.destination), "log": log})
    if unit.attempt > 1 and outcome.status == "skipped" and outcome.artifact and isinstance(unit.plans[place], Plan):
        notes = (*outcome.notes, "it was made by an attempt whose node was lost afterwards")
        return outcome.model_copy(update={"status": "converted", "stages": outcome.artifact.stages, "notes": notes})
    return outcome


def _push_as_asked(pushed: Pushed, unit: _Unit) -> Pushed:
    names = {str(job.destination.absolute()): str(job.destination) for _, job in unit.jobs}
    return pushed.model_copy(update={"artifacts": tuple(names[name] for name in pushed.artifacts)})


def _failed(unit: _Unit, kind: str, message: str, hint: str, cause: str) -> Iterator[Outcome]:
    """The Outcomes of a task's jobs that nothing more will be heard of."""
    for place, (_, job) in enumerate(unit.jobs):
        if place not in unit.results:
            failure = Failure(stage=unit.stages.get(place, "start"), kind=kind, message=f"{message}: {cause}", hint=hint)
            yield finish(job, Outcome.of(job, "failed", failure=failure))


def _clear_away(unit: _Unit) -> None:
    """Remove what a lost node had staged; of one that lives on, cut off, its claim is respected, by another attempt too."""
    for _, job in unit.jobs:
        sweep(job.destination)


@contextmanager
def _probe(output: Path) -> Iterator[SharedFolderProbe]:
    """A file in the output folder, by which a node knows that it sees the same."""
    token = secrets.token_hex(16)
    probe = SharedFolderProbe(folder=output.absolute(), name=f".converter-shared-{token[:8]}", token=token)
    path = probe.folder / probe.name
    try:
        path.write_text(token, encoding="ascii")
    except OSError as error:
        raise output_error(output, error) from error
    try:
        yield probe
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _cluster(address: str) -> Iterator[_Cluster]:
    """Ray's driver, connected; at the end its tasks are cancelled. Raises UsageError where there is no cluster to be had."""
    if address.startswith("ray://") or (address not in (LOCAL, "auto") and not address.rpartition(":")[2].isdigit()):
        raise UsageError(f"{address!r} is not the address of a cluster; nothing was started", _ADDRESS)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, address), daemon=True)
    process.start()
    theirs.close()
    try:
        first = _first_word(ours)
        if isinstance(first, str):
            raise UsageError(f"no Ray cluster was reached at {address}: {first}; nothing was started", _ADDRESS)
        if not first.nodes:
            raise UsageError(f"no node of the cluster at {address} has a core to give; nothing was started", "add nodes to it")
        yield _Cluster(ours, first.nodes)
    finally:
        ours.close()
        process.join(_FAREWELL)
        process.kill()


_ADDRESS = "give --ray-address HOST:PORT of the cluster's head, on a machine that is one of its nodes; see docs/scaling.md"


def _first_word(connection: Connection) -> Nodes | str:
    """The nodes of the cluster, or why there are none, in a clause."""
    try:
        word = connection.recv() if connection.poll(_START) else Refused(f"it gave no answer in {_START:.0f} s")
    except EOFError:
        word = Refused("Ray has ended its driver")
    return word if isinstance(word, Nodes) else str(word.cause)
