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
    """Says which job begins next, and on how many threads, where there are `cores` and `memory`, in bytes, for at most `workers` at once.

    Jobs begin in their order. While the first finds no room, smaller ones go before it, `PATIENCE` of them at most. What finds no room
    in all of the memory begins once nothing else runs, as a prediction is no reason to refuse it.
    """

    workers: int
    cores: int
    memory: int = sys.maxsize
    _overtaken: int = field(default=0, init=False)

    def choose(self, waiting: Sequence[int], running: Sequence[int]) -> int | None:
        """The place of the one of `waiting` that begins now; both are predictions in bytes. None where all have to wait."""
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
        """A job's share of the cores, were all as large as it is; `left` are the jobs that have not ended, itself among them."""
        at_once = min(self.workers, left, self.memory // max(1, predicted))
        return max(1, self.cores // max(1, at_once))


def admission(workers: int | None, jobs: int) -> Admission:
    """For a batch of `jobs`, at most `workers` at a time; None is for as many as cores and memory allow.

    What is available is looked up once, before anything runs: later a part of what was predicted would be counted twice. A number is its
    user's word, and memory is not looked at.
    """
    count = machine.cores()
    if workers is not None:
        return Admission(workers, count)
    return Admission(min(count, max(1, jobs)), count, max(0, machine.available_bytes() - SERVER_BYTES))
