"""`python -m bench.scaling`: simulate 100,000 checkpoints on the nodes of a cluster, and find the first limit.

`Measured` has our measurements (repeated by `python -m bench growth`), `Assumed` assumptions with their sources. Seconds, bytes and US
dollars. The seed is fixed, so the figures repeat.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

from converter.backends import BACKENDS
from converter.executors.cluster_messages import Node as Capacity
from converter.executors.ray import ATTEMPTS, demand
from converter.executors.ray_connection import PER_CORE

COSTS = BACKENDS["onnx"].costs

NODES = (1, 4, 16, 64, 256)
_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The cost of a checkpoint besides its conversion, which `executors.shards` predicts. Requests are those for MiniLM's 11 files."""

    planning: float = 0.96e-3
    """CPU seconds to plan a checkpoint in a folder, a tiny one of 0.1 MB."""
    hashing: float = 0.68e-9
    """CPU seconds of planning per byte of weights in a folder, for their sha256."""
    asking: float = 5.2e-3
    """CPU seconds of a question to the Hub, in the client."""
    plan_api: int = 1
    plan_resolved: int = 3
    fetch_resolved: int = 20
    """Questions of planning and of fetching: to the Hub's API, and for files (a HEAD and a GET each)."""
    words: int = 13
    """What Ray's driver hears of a task: that it began, that its 5 stages began and ended, its outcome, its end."""
    look: float = 1.5e-6
    """Seconds of `ray.wait` for each task that is under way, and so of every word: it is given all of them."""
    outcome_bytes: int = 70_000
    writing_bytes: int = 130_000
    """Memory of the command per outcome of a MiniLM: kept, and at most while the report is written."""
    json_bytes: int = 23_000
    markdown_bytes: int = 1_300
    html_bytes: int = 5_200
    files: int = 13
    """Of MiniLM in the output folder."""
    forwards: float = (0.33 + 0.18) / 0.90
    """The share of a conversion's seconds that are forwards, of MiniLM: see docs/reference/measurements.md. All else is one thread's."""


@dataclass(frozen=True, kw_only=True)
class Assumed:
    """Assumptions. Change them to your values."""

    checkpoints: int = 100_000
    parameters: tuple[tuple[float, float, float], ...] = (
        (0.4017, 0.01e9, 0.1e9),
        (0.2966, 0.1e9, 0.2e9),
        (0.1650, 0.2e9, 0.5e9),
        (0.0615, 0.5e9, 1e9),
        (0.0752, 1e9, 8e9),
    )
    """Shares of checkpoints by ranges of parameters, uniform over the logarithm. They are the shares of downloads from the Hub
    (https://huggingface.co/blog/lbourdois/huggingface-models-stats, 2025), because shares of repositories are not published; the
    extremes are our assumption."""
    parameter_bytes: int = 4
    """float32, on both sides."""
    cores: int = 16
    memory: int = 64_000_000_000
    disk: int = 1_000_000_000_000
    network: float = 10e9 / 8
    """Of a node; the network in bytes a second."""
    file_server: float = 4 * 10e9 / 8
    """Bytes a second that the shared output folder takes, of all nodes together."""
    round_trip: float = 0.1
    """Seconds until the Hub has answered a question."""
    api: int = 1_000
    resolved: int = 5_000
    window: float = 300.0
    """What one account may ask the Hub in a window: of its API, and for files. A free one's, by
    https://huggingface.co/docs/hub/rate-limits (September 2025)."""
    speedup: float = 1.0
    """How much of a forward its cores share: with 1.0 two cores take half the time."""
    losses: float = 0.005
    """Nodes lost in an hour, of each."""
    replacement: float = 300.0
    """Seconds until there is another node in place of a lost one."""
    timeout: float = 2 * _HOUR
    """`--timeout`, by default."""
    core_hour: float = 0.04
    egress: float = 0.09 / 1e9
    """Dollars, at about what large clouds list: of a core for an hour, and of a byte of artifacts that leaves the cloud."""
    from_hub: bool = True
    """Or checkpoints are in folders: on the same file server, or, for one machine alone, on its own disk."""
    seed: int = 20_261_125


Process = Generator[float | None]
"""Something that goes on by itself: it yields the time at which it does, in seconds from the beginning; None is until it is woken."""


@dataclass
class Clock:
    """Lets processes go on, each at its time."""

    now: float = 0.0
    _waiting: list[tuple[float, int, Process]] = field(default_factory=list)
    _order: int = 0

    def start(self, process: Process, at: float | None = None) -> None:
        """Let a process go on, or a parked one, now or at a time."""
        self._order += 1
        heapq.heappush(self._waiting, (self.now if at is None else at, self._order, process))

    def run(self, until: Callable[[], bool]) -> None:
        """Go on until nothing waits, or `until` says so. One that was closed has ended."""
        while self._waiting and not until():
            self.now, _, process = heapq.heappop(self._waiting)
            at = next(process, None)
            if at is not None:
                self.start(process, at)


@dataclass
class Line:
    """What serves one after the other: a process, a network. `busy` are the seconds that it was."""

    free: float = 0.0
    busy: float = 0.0

    def take(self, now: float, seconds: float) -> float:
        """When one who comes now and takes so many seconds has been served."""
        self.free = max(self.free, now) + seconds
        self.busy += seconds
        return self.free


@dataclass
class Allowance:
    """The Hub's limit of an account per window of seconds; a refused request is repeated a second after its end."""

    limit: int
    window: float
    used: int = 0
    _number: int = 0
    _left: int = -1

    def take(self, now: float, questions: int) -> float:
        """When the last of so many questions may be asked."""
        if not questions:
            return now
        self.used += questions
        current = int(now // self.window)
        if current > self._number or self._left < 0:
            self._number, self._left = max(current, self._number), self.limit
        while questions > self._left:
            questions, self._left, self._number = questions - self._left, self.limit, self._number + 1
        self._left -= questions
        return max(now, self._number * self.window + 1) if self._number > current else now

    def seconds(self) -> float:
        """The minimum time of all of it; the first window takes none."""
        return max(0.0, self.used / self.limit - 1) * self.window


@dataclass(eq=False)
class Task:
    """A checkpoint on its way; it takes so many cores of a node, and so much of its memory."""

    number: int
    weights: float
    cores: int
    memory: int
    attempt: int = 1
    process: Process | None = None


@dataclass(eq=False)
class Node:
    """A node's free cores and memory, its network, and its tasks."""

    cores: int
    memory: int
    network: Line = field(default_factory=Line)
    running: set[Task] = field(default_factory=set)
    up: bool = True

    def holds(self, task: Task) -> bool:
        return self.up and self.cores >= task.cores and self.memory >= task.memory


@dataclass
class Cluster:
    """N nodes, and the driver that plans, gives and hears. One node alone is one machine with `--jobs auto`: it has no Ray."""

    nodes: int
    assumed: Assumed = field(default_factory=Assumed)
    measured: Measured = field(default_factory=Measured)
    clock: Clock = field(default_factory=Clock)
    planner: Line = field(default_factory=Line)
    hearer: Line = field(default_factory=Line)
    file_server: Line = field(default_factory=Line)
    core_seconds: float = 0.0
    cores_held: float = 0.0
    memory_held: float = 0.0
    weights: float = 0.0
    lost: int = 0
    failed: int = 0
    done: int = 0
    longest: float = 0.0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.assumed.seed)
        self.api = Allowance(self.assumed.api, self.assumed.window)
        self.resolved = Allowance(self.assumed.resolved, self.assumed.window)
        self.machines = [Node(self.assumed.cores, self.assumed.memory) for _ in range(self.nodes)]
        self.tasks: dict[int, Task] = {}
        self.waiting: deque[Task] = deque()
        self.driver = self._drive(list(_sizes(self.assumed, self.chance)))
        self.parked = False

    def run(self) -> Cluster:
        """Until every checkpoint has an outcome."""
        self.clock.start(self.driver)
        for machine in self.machines:
            self.clock.start(self._lose(machine), self._next_loss())
        self.clock.run(until=lambda: self.done + self.failed == self.assumed.checkpoints)
        return self

    def _drive(self, sizes: Sequence[float]) -> Process:
        """The driver: plan the next, and give it to the cluster, for as long as there is room."""
        window = PER_CORE * self.nodes * self.assumed.cores
        for number, weights in enumerate(sizes):
            while len(self.tasks) >= window or number - (self.waiting[0].number if self.waiting else number) >= window:
                self.parked = True
                yield None
            if self.assumed.from_hub:
                yield self._ask(self.measured.plan_api, self.measured.plan_resolved)
                questions = self.measured.plan_api + self.measured.plan_resolved
                yield self.planner.take(self.clock.now, questions * (self.assumed.round_trip + self.measured.asking))
            else:
                read = self._served(weights) if self.nodes > 1 else self.clock.now
                yield max(read, self.planner.take(self.clock.now, self.measured.planning + self.measured.hashing * weights))
            predicted = round(COSTS.memory.start + COSTS.memory.weights * weights)
            cores, memory = demand(predicted, [Capacity(self.assumed.cores, self.assumed.memory)])
            self.tasks[number] = task = Task(number, weights, cores, memory)
            self._give(task)

    def _give(self, task: Task) -> None:
        self.waiting.append(task)
        if machine := next((machine for machine in self.machines if machine.holds(task)), None):
            self._fill(machine)

    def _fill(self, machine: Node) -> None:
        """Begin what waits and finds room on this node, in its order; larger ones are overtaken."""
        while machine.up and machine.cores and (task := next(filter(machine.holds, self.waiting), None)):
            self.waiting.remove(task)
            machine.cores -= task.cores
            machine.memory -= task.memory
            machine.running.add(task)
            task.process = self._do(task, machine)
            self.clock.start(task.process)

    def _do(self, task: Task, machine: Node) -> Process:
        """One task on its node. With Ray it is planned there once more."""
        began = self.clock.now
        is_alone = self.nodes == 1
        if self.assumed.from_hub:
            asked = (0, 0) if is_alone else (self.measured.plan_api, self.measured.plan_resolved)
            yield self._ask(asked[0], asked[1] + self.measured.fetch_resolved)
            yield self.clock.now + (sum(asked) + self.measured.fetch_resolved) * self.assumed.round_trip
        elif not is_alone:
            yield self._served(task.weights)
        if self.assumed.from_hub or not is_alone:
            yield machine.network.take(self.clock.now, task.weights / self.assumed.network)
        seconds = COSTS.start_seconds + COSTS.seconds_per_gb * task.weights / 1e9
        shared = seconds * self.measured.forwards * self.assumed.speedup
        held = seconds - shared + shared / task.cores
        yield self.clock.now + held
        self.core_seconds += seconds
        self.cores_held += held * task.cores
        self.memory_held += held * task.memory
        if not is_alone:
            yield self._served(task.weights)
            yield machine.network.take(self.clock.now, task.weights / self.assumed.network)
        took = self.clock.now - began
        self.longest = max(self.longest, took)
        self._leave(task, machine)
        if not is_alone:
            yield self.hearer.take(self.clock.now, self.measured.words * self.measured.look * len(self.tasks))
        self._end(task, failed=took > self.assumed.timeout)

    def _served(self, size: float) -> float:
        """When the file server has given or taken so many bytes."""
        return self.file_server.take(self.clock.now, size / self.assumed.file_server)

    def _ask(self, api: int, resolved: int) -> float:
        return max(self.api.take(self.clock.now, api), self.resolved.take(self.clock.now, resolved))

    def _leave(self, task: Task, machine: Node) -> None:
        machine.cores += task.cores
        machine.memory += task.memory
        machine.running.remove(task)
        self._fill(machine)

    def _end(self, task: Task, *, failed: bool) -> None:
        del self.tasks[task.number]
        self.failed += failed
        self.done += not failed
        self.weights += 0 if failed else task.weights
        self._wake()

    def _wake(self) -> None:
        if self.parked:
            self.parked = False
            self.clock.start(self.driver)

    def _lose(self, machine: Node) -> Process:
        """A node's own fate: it is lost with all that it does, and there is another after a while."""
        while True:
            machine.up = False
            for task in sorted(machine.running, key=lambda task: task.number):
                assert task.process
                task.process.close()
                self.lost += 1
                task.attempt += 1
                if task.attempt > ATTEMPTS:
                    self._end(task, failed=True)
                else:
                    self.waiting.append(task)
            machine.running.clear()
            machine.network.free = self.clock.now
            yield self.clock.now + self.assumed.replacement
            machine.cores, machine.memory, machine.up = self.assumed.cores, self.assumed.memory, True
            self._fill(machine)
            self._wake()
            yield self._next_loss()

    def _next_loss(self) -> float:
        return self.clock.now + self.chance.expovariate(self.assumed.losses) * _HOUR if self.assumed.losses else math.inf

    def shares(self) -> dict[str, float]:
        """How much of each resource that serves all was used, of all the time that it took."""
        seconds = self.clock.now
        return {
            "cores": self.cores_held / (seconds * self.nodes * self.assumed.cores),
            "memory": self.memory_held / (seconds * self.nodes * self.assumed.memory),
            "the nodes' network": sum(machine.network.busy for machine in self.machines) / (seconds * self.nodes),
            "file server": self.file_server.busy / seconds,
            "the Hub's API": self.api.seconds() / seconds,
            "the Hub's files": self.resolved.seconds() / seconds,
            "planning": self.planner.busy / seconds,
            "hearing": self.hearer.busy / seconds,
        }

    def rent(self) -> float:
        """Dollars for all cores, for as long as the batch takes."""
        return self.clock.now / _HOUR * self.nodes * self.assumed.cores * self.assumed.core_hour

    def egress(self) -> float:
        """Dollars for all artifacts to leave the cloud."""
        return self.weights * self.assumed.egress


def _sizes(assumed: Assumed, chance: random.Random) -> Iterator[float]:
    """The bytes of each checkpoint's weights."""
    shares = [share for share, _, _ in assumed.parameters]
    for _, least, most in chance.choices(assumed.parameters, weights=shares, k=assumed.checkpoints):
        yield assumed.parameter_bytes * least * (most / least) ** chance.random()


SCENARIOS = {
    "from the Hub, a free account": Assumed(),
    "from the Hub, an account of an Enterprise organisation": Assumed(api=6_000, resolved=50_000),
    "from folders on the file server": Assumed(from_hub=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description="Simulate how many checkpoints go over a cluster.")
    parser.add_argument("--checkpoints", type=int, default=Assumed().checkpoints, help="how many, 100,000 by default")
    count = parser.parse_args().checkpoints
    for name, assumed in SCENARIOS.items():
        print(f"\n{name[0].upper()}{name[1:]}:\n\n{_HEADER}\n{_ALIGNED}")
        for nodes in NODES:
            cluster = Cluster(nodes, replace(assumed, checkpoints=count)).run()
            print(f"| {' | '.join(_cells(cluster))} |", flush=True)
    measured = Measured()
    print(
        f"\n{cluster.weights / 1e12:.0f} TB of weights, and of artifacts as many; {cluster.egress():,.0f} $ for these to leave the cloud.\n"
    )
    for what, size in (
        ("the command's memory", measured.outcome_bytes),
        ("… as the report is written", measured.writing_bytes),
        ("report.json", measured.json_bytes),
        ("report.md", measured.markdown_bytes),
        ("report.html", measured.html_bytes),
    ):
        print(f"| {what} | {count * size / 1e9:.1f} GB |")
    print(f"| files in the output folder | {count * measured.files:,} |")


_HEADER = (
    "| nodes | hours | used most | then | cores busy | Hub's cache fills a node's disk at | tasks lost | failed | driver lost | cores, $ |"
)
_ALIGNED = "|---:|---:|---|---|---:|---:|---:|---:|---:|---:|"


def _cells(cluster: Cluster) -> Iterator[str]:
    """A row of the table: the most used resource is the first limit."""
    shares, hours = cluster.shares(), cluster.clock.now / _HOUR
    full = cluster.assumed.disk * cluster.nodes / cluster.weights if cluster.assumed.from_hub else 1.0
    yield f"{cluster.nodes}"
    yield f"{hours:.1f}"
    yield from (f"{name}, {shares[name]:.0%}" for name in sorted(shares, key=lambda name: -shares[name])[:2])
    yield f"{cluster.core_seconds / (cluster.clock.now * cluster.nodes * cluster.assumed.cores):.1%}"
    yield f"{full:.1%}" if full < 1 else "–"
    yield f"{cluster.lost}"
    yield f"{cluster.failed}"
    yield f"{1 - math.exp(-cluster.assumed.losses * hours):.0%}"
    yield f"{cluster.rent():,.0f}"


if __name__ == "__main__":
    main()
