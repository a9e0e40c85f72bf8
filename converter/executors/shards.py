"""A batch divided over machines: which lines of its manifest go to which, so that all end at about the same time."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from converter.backends import BACKENDS
from converter.core.records import Outcome
from converter.pipeline import Plan


@dataclass
class Shard:
    """The lines of a manifest that one machine converts, and the CPU seconds that this is predicted to take."""

    number: int
    lines: list[int] = field(default_factory=list)
    seconds: float = 0.0


def divide(planned: Sequence[Plan | Outcome], shards: int) -> list[Shard]:
    """Divide planned jobs among at most `shards` machines, longest line first, each to the shard with the smallest sum.

    A line stays whole, because its artifacts share a download. Unchanged jobs, and jobs that fail at once, cost nothing and are
    included, so that every line is reported.
    """
    costs: dict[int, float] = defaultdict(float)
    for entry in planned:
        position = entry.job.position if isinstance(entry, Plan) else entry.position
        assert position
        costs[position.line] += predicted_seconds(entry) if isinstance(entry, Plan) else 0.0
    wanted = min(shards, max(1, sum(cost > 0 for cost in costs.values())))
    made = [Shard(number) for number in range(1, wanted + 1)]
    heap = [(0.0, shard.number) for shard in made]
    for line in sorted(costs, key=lambda line: (-costs[line], line)):
        _, number = heapq.heappop(heap)
        shard = made[number - 1]
        shard.lines.append(line)
        shard.seconds += costs[line]
        heapq.heappush(heap, (shard.seconds, number))
    for shard in made:
        shard.lines.sort()
    return made


def predicted_seconds(plan: Plan) -> float:
    """The CPU seconds that a job is predicted to take."""
    costs = BACKENDS[plan.job.backend].costs
    return costs.start_seconds + costs.seconds_per_gb * plan.checkpoint.weight_bytes / 1e9
