"""The command's end of the pipe to Ray's driver."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

from converter.core.errors import UsageError
from converter.executors.cluster_messages import Cancel, DriverMessage, Node, Nodes, Refused, Submit
from converter.executors.ray_driver import serve

LOCAL = "local"
"""The address of a cluster of this machine's cores, which is started for the batch and ends with it."""
PER_CORE = 2
"""Tasks given to the cluster for each of its cores: one that runs, and one that waits for it to end."""
_START = 60.0  # seconds for a cluster to be reached, or started
_FAREWELL = 30.0  # seconds for Ray's driver to end
_ADDRESS = "give --ray-address HOST:PORT of the cluster's head, on a machine that is one of its nodes; see docs/scaling.md"


@dataclass
class ClusterConnection:
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
        """The next message within `timeout` seconds."""
        try:
            word: DriverMessage | None = self.connection.recv() if self.connection.poll(timeout) else None
        except (EOFError, OSError):
            self.lost = True
            return None
        if isinstance(word, Nodes):
            self.nodes = word.nodes
        return word


@contextmanager
def connect(address: str) -> Iterator[ClusterConnection]:
    """Start Ray's driver and connect to it; at the end its tasks are cancelled. Raises UsageError without a cluster."""
    if address.startswith("ray://") or (address not in (LOCAL, "auto") and not address.rpartition(":")[2].isdigit()):
        raise UsageError(f"{address!r} is not the address of a cluster; nothing was started", _ADDRESS)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, address), daemon=True)
    process.start()
    theirs.close()
    try:
        first = _first_message(ours)
        if isinstance(first, str):
            raise UsageError(f"no Ray cluster was reached at {address}: {first}; nothing was started", _ADDRESS)
        if not first.nodes:
            raise UsageError(f"no node of the cluster at {address} has a core to give; nothing was started", "add nodes to it")
        yield ClusterConnection(ours, first.nodes)
    finally:
        ours.close()
        process.join(_FAREWELL)
        process.kill()


def _first_message(connection: Connection) -> Nodes | str:
    """The nodes of the cluster, or why there are none, in a clause."""
    try:
        word = connection.recv() if connection.poll(_START) else Refused(f"it gave no answer in {_START:.0f} s")
    except EOFError:
        word = Refused("Ray has ended its driver")
    return word if isinstance(word, Nodes) else str(word.cause)
