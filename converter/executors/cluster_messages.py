"""Messages of a cluster: orders of the command to Ray's driver, and the nodes' reports on their tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from converter.core.records import Event, Job, Outcome, Pushed
from converter.executors.limits import Limits
from converter.executors.shared_folder import SharedFolderProbe
from converter.publish.push import Target


@dataclass(frozen=True, kw_only=True)
class Task:
    """Jobs that are done one after the other on one node, their paths absolute; one job, or with `target` all of a model.

    `versions` are those that the driver has of what shapes each backend's artifacts.
    """

    jobs: tuple[Job, ...]
    limits: Limits
    versions: Mapping[str, Mapping[str, str]]
    probe: SharedFolderProbe
    target: Target | None = None


@dataclass(frozen=True)
class TaskStarted:
    """The task has come to a node."""

    node: str


@dataclass(frozen=True)
class JobEvent:
    """Something has happened to a job, by its place in the task."""

    place: int
    event: Event


@dataclass(frozen=True)
class Done:
    """What became of a job, by its place in the task."""

    place: int
    outcome: Outcome


Message = TaskStarted | JobEvent | Done | Pushed


End = Literal["done", "cancelled", "lost", "fault"]
"""`lost` is with its node or its worker, which another attempt may not be; `fault` is that the node could not do it at all."""


@dataclass(frozen=True)
class Submit:
    """A task for the cluster, by its number, with the cores and the bytes of memory that a node has to have free for it."""

    number: int
    task: Task
    cores: int
    memory: int


@dataclass(frozen=True)
class Cancel:
    """A task that is wanted no more."""

    number: int


@dataclass(frozen=True)
class Node:
    """A node's resources, used or free: cores, and bytes of memory."""

    cores: int
    memory: int


@dataclass(frozen=True)
class Refused:
    """No cluster is available; the reason is a clause."""

    cause: str


@dataclass(frozen=True)
class Nodes:
    """The nodes that live and have a core, whenever they are others."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Heard:
    """A word from a task."""

    number: int
    message: Message


@dataclass(frozen=True)
class TaskEnded:
    """A task ended; the cause is a clause, empty after a success."""

    number: int
    how: End
    cause: str = ""


DriverMessage = Refused | Nodes | Heard | TaskEnded
