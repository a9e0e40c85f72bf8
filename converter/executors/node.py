"""A task on a node of a cluster: its jobs run in the node's local executor, with all events reported, and their artifacts pushed.

It knows nothing of Ray: `work` is a generator of messages, whoever carries them.
"""

from __future__ import annotations

import multiprocessing
import platform
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from types import ModuleType

from converter.artifacts.versions import versions_of
from converter.backends import BACKENDS
from converter.core.records import Event, Failure, Job, Outcome, Pushed
from converter.executors import local
from converter.executors.cluster_messages import Done, JobEvent, Message, Task, TaskStarted
from converter.executors.limits import Limits
from converter.executors.shared_folder import SharedFolderProbe
from converter.publish.batch import Pushes, PushGroup

_LOOK = 0.2
"""Seconds between two looks for a cancellation, which Ray raises between two instructions and never in a wait."""


def work(task: Task) -> Iterator[Message]:
    """Run a task: yield its events, an Outcome for each of its jobs, and the result of the push.

    If the node lacks the driver's output folder, a checkpoint's folder or the driver's versions, every job gets a failed Outcome.
    """
    _heed_cancellation()
    yield TaskStarted(platform.node())
    if failure := _other_versions(task) or _unshared(task):
        yield from (Done(place, Outcome.of(job, "failed", failure=failure)) for place, job in enumerate(task.jobs))
        return
    with _output(task.probe) as folder:
        jobs = [_moved(job, task.probe.folder, folder) for job in task.jobs]
        places = {str(job.destination): place for place, job in enumerate(jobs)}
        pushes = Pushes([PushGroup(task.target, jobs)] if task.target else [])
        for said in _followed(jobs, task.limits):
            if isinstance(said, JobEvent):
                yield said
                continue
            yield Done(places[said.destination], _with_node(said, task, folder))
            for pushed in pushes.after(said):
                yield _with_node_of_push(pushed, task, folder)


def _heed_cancellation() -> None:
    """Ray cancels a task by a simulated SIGINT. It does nothing in a process that ignores it, as a shell's background processes do."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _other_versions(task: Task) -> Failure | None:
    """The differing versions: they are part of the cache key, so they have to be the same everywhere."""
    for backend, wanted in task.versions.items():
        versions = versions_of(BACKENDS[backend].packages if backend in BACKENDS else ())  # it may be of a package
        for name in sorted({*wanted, *versions}):
            if wanted.get(name) != versions.get(name):
                here, there = (f"{name} {side[name]}" if name in side else f"no {name}" for side in (versions, wanted))
                return Failure(
                    stage="start",
                    kind="OtherVersions",
                    message=f"the node {platform.node()} has {here}, and the driver has {there}",
                    hint="install the same versions on all nodes, such as by constraints.txt or from one image",
                )
    return None


def _unshared(task: Task) -> Failure | None:
    """What of the driver's files the node does not see. Without the output folder a push is still possible."""
    own = [Path(job.options.config.rpartition(":")[0]) for job in task.jobs if job.options.config]
    lacking = [path for path in (*(job.source.folder for job in task.jobs if job.source.folder), *own) if not path.exists()]
    if lacking:
        what, hint = f"{lacking[0]} is not there on the node {platform.node()}", "put it on a file system that all nodes share"
    elif not task.target and not task.probe.is_seen():
        what = f"the node {platform.node()} does not see the output folder {task.probe.folder}"
        hint = "give an --output on a file system that all nodes share, or --push"
    else:
        return None
    return Failure(stage="start", kind="NotShared", message=what, hint=hint)


@contextmanager
def _output(probe: SharedFolderProbe) -> Iterator[Path]:
    """The driver's output folder if visible; otherwise a temporary one of the node, until its contents are pushed."""
    if probe.is_seen():
        yield probe.folder
        return
    with tempfile.TemporaryDirectory(prefix="converter-") as folder:
        yield Path(folder)


def _moved(job: Job, old: Path, new: Path) -> Job:
    """The job with its places in another output folder."""
    model_folder = new / job.model_folder.relative_to(old) if job.model_folder else None
    return replace(job, destination=new / job.destination.relative_to(old), model_folder=model_folder)


def _with_node(outcome: Outcome, task: Task, folder: Path) -> Outcome:
    """An outcome as the driver knows its job; of what lies in no shared folder it says so."""
    destination, log = (
        str(task.probe.folder / Path(path).relative_to(folder)) if path else None for path in (outcome.destination, outcome.log)
    )
    away = folder != task.probe.folder and outcome.artifact is not None
    notes = (f"it was made and pushed on {platform.node()}, and deleted there",) if away else ()
    return outcome.model_copy(update={"destination": destination, "log": None if away else log, "notes": (*outcome.notes, *notes)})


def _with_node_of_push(pushed: Pushed, task: Task, folder: Path) -> Pushed:
    old, new = str(folder), str(task.probe.folder)
    artifacts, notes = (tuple(text.replace(old, new) for text in texts) for texts in (pushed.artifacts, pushed.notes))
    return pushed.model_copy(update={"artifacts": artifacts, "notes": notes})


@dataclass(frozen=True)
class _Teller:
    """An observer that puts events into a queue."""

    said: SimpleQueue[JobEvent | Outcome | BaseException | None] = field(default_factory=SimpleQueue)

    def observe(self, index: int, event: Event) -> None:
        self.said.put(JobEvent(index, event))


def _followed(jobs: Sequence[Job], limits: Limits) -> Iterator[JobEvent | Outcome]:
    """What happens to jobs, and their Outcomes of jobs as they come. Who stops listening, as a cancelled task does, ends those that run."""
    teller, stopped = _Teller(), threading.Event()

    local.expect_batches()  # a worker of Ray has task after task

    def do() -> None:
        try:
            for outcome in local.run(jobs, 1, teller, stopped.is_set, limits):
                teller.said.put(outcome)
            teller.said.put(None)
        except BaseException as error:  # raised in the consumer
            teller.said.put(error)

    with _no_main_module():
        thread = threading.Thread(target=do, name="jobs")
        thread.start()
        try:
            while (said := _next(teller.said)) is not None:
                if isinstance(said, BaseException):
                    raise said
                yield said
        finally:
            stopped.set()
            _end(thread)


def _next(queue: SimpleQueue[JobEvent | Outcome | BaseException | None]) -> JobEvent | Outcome | BaseException | None:
    while True:
        with suppress(Empty):
            return queue.get(timeout=_LOOK)


def _end(thread: threading.Thread) -> None:
    """Wait for the jobs of a thread to end, and end those that run."""
    pids: set[int | None] = set()
    while thread.is_alive():
        for child in multiprocessing.active_children():
            if child.pid not in pids:  # a second word would interrupt its clearing away
                child.terminate()
                pids.add(child.pid)
        thread.join(_LOOK)


@contextmanager
def _no_main_module() -> Iterator[None]:
    """multiprocessing runs the main module again in each worker: Ray's own is of no use there, and takes a third of a second to import."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
