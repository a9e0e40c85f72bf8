"""The driver's end of the pipe to a cluster, with a double at the other end, for rare events of a cluster."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from converter.backends import BACKENDS
from converter.core.locks import file_lock
from converter.core.records import Event, Job, Outcome, Source
from converter.executors import ray
from converter.executors.batch import Batch
from converter.executors.cluster_messages import Cancel, Heard, Node, Submit, TaskEnded, TaskStarted
from converter.executors.ray_connection import ClusterConnection
from converter.executors.shared_folder import SharedFolderProbe
from converter.executors.task_state import TaskState
from tests.support.checkpoints import save_tiny


class Unobserved:
    def observe(self, index: int, event: Event) -> None:
        pass


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Connection]]:
    """The batch's end of the pipe, and the double's."""
    ours, theirs = multiprocessing.Pipe()
    yield ours, theirs
    ours.close()
    theirs.close()


def outcomes(tmp_path: Path, ours: Connection, halted: Iterator[bool]) -> Iterator[Outcome]:
    job = Job(
        source=Source(name="tiny", folder=save_tiny(tmp_path / "tiny", "bert")),
        backend="onnx",
        options=BACKENDS["onnx"].options(),
        destination=tmp_path / "out/tiny/onnx",
    )
    probe = SharedFolderProbe(folder=tmp_path, name="mark", token="a")
    cluster = ClusterConnection(ours, (Node(1, 10**10),))
    batch = Batch([job], halted=lambda: next(halted))
    for said in ray._Tasks(batch, Unobserved(), cluster, probe).outcomes():
        assert isinstance(said, Outcome)
        yield said


@pytest.mark.torch
def test_a_withdrawn_task_whose_stream_ends_without_a_word_is_cancelled(tmp_path: Path, ends: tuple[Connection, Connection]) -> None:
    ours, theirs = ends

    def halted() -> Iterator[bool]:
        yield False  # the task is given
        yield True  # and withdrawn
        while True:
            orders = [theirs.recv() for _ in range(2)] if theirs.poll() else []
            if orders:
                assert [type(order) for order in orders] == [Submit, Cancel]
                theirs.send(Heard(1, TaskStarted("a")))
                theirs.send(TaskEnded(1, "done"))
            yield True

    (outcome,) = outcomes(tmp_path, ours, halted())
    assert outcome.status == "cancelled"


@pytest.mark.torch
def test_a_task_whose_stream_ends_without_a_word_is_done_again_and_at_last_failed(
    tmp_path: Path, ends: tuple[Connection, Connection]
) -> None:
    ours, theirs = ends
    numbers = []

    def halted() -> Iterator[bool]:
        while True:
            if theirs.poll():
                numbers.append(theirs.recv().number)
                theirs.send(TaskEnded(numbers[-1], "done"))
            yield False

    (outcome,) = outcomes(tmp_path, ours, halted())
    assert numbers == [1, 2, 3]
    assert outcome.failure and outcome.failure.kind == "NodeLost" and "without a result" in outcome.failure.message


def test_a_task_that_another_run_is_at_goes_behind_the_others(tmp_path: Path) -> None:
    options = BACKENDS["onnx"].options()
    jobs = [Job(source=Source(name=name), backend="onnx", options=options, destination=tmp_path / name / "onnx") for name in "abc"]
    waiting = deque(TaskState([(index, job)], None) for index, job in enumerate(jobs))
    with file_lock(tmp_path / "a" / "onnx"):
        names = [ray._pop_free(waiting).jobs[0][1].source.name for _ in jobs]
    assert names == ["b", "c", "a"]
