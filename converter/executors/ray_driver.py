"""Ray's driver in a separate process: tasks come in by a pipe, messages go out.

Ray ends the process whose cluster is lost, and prints to its standard error. Neither may affect the command. The end of the pipe is the
end of the cluster, and its reader has all messages until then.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from time import monotonic
from typing import TYPE_CHECKING, Any

from converter.core.reason import reason
from converter.executors.cluster_messages import Cancel, End, Heard, Message, Node, Nodes, Refused, Submit, TaskEnded
from converter.executors.node import work

if TYPE_CHECKING:
    from ray import ObjectRefGenerator

_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Ray tells nobody that it is used, and does not warn of a setting of accelerators that is to change."""
_OBJECT_STORE_BYTES = 80_000_000
"""Of a cluster that is started here: the least that Ray takes, as all that goes to and fro is small."""
_CONNECT = 5.0  # seconds for a first word with the cluster's address
_TURN = 0.05  # seconds between two looks at the pipe while tasks are under way
_LOOK = 2.0  # seconds between two looks at the nodes
_FAREWELL = 15.0  # seconds for cancelled tasks to clean up


def serve(connection: Connection, address: str) -> None:
    """A driver's whole life: until the pipe is closed, or Ray ends it. `address` is HOST:PORT, `auto`, or `local`, which starts one."""
    os.setsid()  # Ctrl-C is for the command, which closes the pipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(os.devnull, "wb") as nowhere:  # what Ray says there stands in its own logs too
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    os.environ.update(_SETTINGS)
    with suppress(EOFError, BrokenPipeError):
        if cause := _start(address):
            connection.send(Refused(cause))
        else:
            _Driver(connection).run()


def _start(address: str) -> str:
    """Run as a driver of the cluster; a clause if there is none."""
    import ray

    try:
        if address not in ("auto", "local"):
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT).close()
        ray.init(
            address,
            include_dashboard=False if address == "local" else None,
            object_store_memory=_OBJECT_STORE_BYTES if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # whatever it is, nothing has been started
        return reason(error)
    return ""


@dataclass
class _Driver:
    """The tasks under way, each a stream of messages."""

    connection: Connection
    streams: dict[ObjectRefGenerator[Message], int] = field(default_factory=dict)
    nodes: Nodes | None = None
    looked: float = 0.0

    def run(self) -> None:
        """Hear both sides until the pipe is closed; then nothing goes on."""
        import ray

        try:
            while True:
                self._look_at_nodes()
                while self.connection.poll(0 if self.streams else _LOOK):
                    self._obey(self.connection.recv())
                ready = ray.wait([*self.streams], num_returns=1, timeout=_TURN)[0] if self.streams else []
                if ready:  # a look at thousands of tasks is dear: so it is at all that have something to say
                    ready = ray.wait([*self.streams], num_returns=len(self.streams), timeout=0)[0]
                for stream in ready:
                    self.connection.send(self._next(stream))
        finally:
            self._end()

    def _look_at_nodes(self) -> None:
        import ray

        if self.nodes and monotonic() - self.looked < _LOOK:
            return
        self.looked = monotonic()
        resources: Iterator[dict[str, Any]] = (node["Resources"] for node in ray.nodes() if node["Alive"])  # type: ignore[no-untyped-call]  # Ray's own lacks types
        able = sorted((int(amounts.get("memory", 0)), int(amounts.get("CPU", 0))) for amounts in resources if amounts.get("CPU", 0) >= 1)
        nodes = Nodes(tuple(Node(cores, memory) for memory, cores in able))
        if nodes != self.nodes:
            self.nodes = nodes
            self.connection.send(nodes)

    def _obey(self, order: Submit | Cancel) -> None:
        import ray

        if isinstance(order, Submit):
            remote: Any = ray.remote(work)
            # one attempt: our retry cleans up first; and Ray would repeat one forever for memory
            chosen = remote.options(num_cpus=order.cores, memory=order.memory, max_retries=0, num_returns="streaming", name="conversion")
            self.streams[chosen.remote(order.task)] = order.number
        else:
            for stream in [stream for stream, number in self.streams.items() if number == order.number]:
                ray.cancel(stream)

    def _next(self, stream: ObjectRefGenerator[Message]) -> Heard | TaskEnded:
        """The next word of a task, which is ready."""
        import ray

        try:
            message: Message = ray.get(next(stream))
        except StopIteration:
            return TaskEnded(self.streams.pop(stream), "done")
        except ray.exceptions.RayError as error:
            return TaskEnded(self.streams.pop(stream), *_why(error))
        return Heard(self.streams[stream], message)

    def _end(self) -> None:
        """Cancel what runs, wait for it to clear away, and leave the cluster."""
        import ray

        for stream in self.streams:
            ray.cancel(stream)
        until = monotonic() + _FAREWELL
        while self.streams and monotonic() < until:
            for stream in ray.wait([*self.streams], num_returns=1, timeout=_TURN)[0]:
                self._next(stream)
        ray.shutdown()


def _why(error: Exception) -> tuple[End, str]:
    """How a task has ended that Ray raises an error for, and why, in a clause."""
    from ray import exceptions

    if isinstance(error, exceptions.TaskCancelledError):
        return "cancelled", "it was cancelled"
    if isinstance(error, exceptions.RayTaskError):
        return "fault", reason(error.cause if isinstance(error.cause, BaseException) else error)
    if isinstance(error, exceptions.OutOfMemoryError):
        return "lost", "Ray ended it, as its node had too little memory left"
    if isinstance(error, exceptions.NodeDiedError | exceptions.LocalRayletDiedError):
        return "lost", "its node was lost"
    if isinstance(error, exceptions.WorkerCrashedError):
        return "lost", "Ray's worker has ended without a word, or its node was lost"
    return "lost", reason(error)
