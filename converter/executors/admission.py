"""How many jobs at once, for `--jobs auto`: as many as there are cores, and as their predicted memory leaves room for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from converter.executors import machine
from converter.executors.memory_prediction import SERVER_BYTES

PATIENCE = 4
"""How many jobs may go before the one that waits for memory the longest, and how many are kept planned for that."""


@dataclass
class Admission:
    """Chooses the next job and its threads, for `cores`, `memory` in bytes, and at most `workers` at once.

    Jobs start in their order. While the first one waits for memory, at most `PATIENCE` smaller ones pass it. A job larger than the
    memory starts once nothing else runs, because a prediction may be wrong.
    """

    workers: int
    cores: int
    memory: int = sys.maxsize
    _overtaken: int = field(default=0, init=False)

    def choose(self, waiting: Sequence[int], running: Sequence[int]) -> int | None:
        """The position in `waiting` of the next job; both hold predictions in bytes. None if all have to wait."""
        if len(running) >= self.workers:
            return None
        room = self.memory - sum(running)
        eligible = waiting if self._overtaken < PATIENCE else waiting[:1]
        for place, predicted in enumerate(eligible):
            if predicted <= room or not running:
                self._overtaken = self._overtaken + 1 if place else 0
                return place
        return None

    def threads(self, predicted: int, left: int) -> int:
        """A job's share of the cores, if all were as large; `left` are the unfinished jobs, including itself."""
        at_once = min(self.workers, left, self.memory // max(1, predicted))
        return max(1, self.cores // max(1, at_once))


def admission(workers: int | None, jobs: int) -> Admission:
    """The admission for a batch of `jobs`, at most `workers` at a time; None follows cores and memory.

    The available memory is read once, before anything runs: later, running jobs would count twice. A number is used without a look at
    memory.
    """
    count = machine.cores()
    if workers is not None:
        return Admission(workers, count)
    return Admission(min(count, max(1, jobs)), count, max(0, machine.available_bytes() - SERVER_BYTES))
