"""The limits of a job."""

from __future__ import annotations

import subprocess
import sys

from converter.executors.limits import pause_before

_TAKE = """
import numpy
from converter.executors.limits import limit_memory
limit_memory(200_000_000, 50_000_000)
held = [numpy.empty(50_000_000, numpy.uint8) for _ in range(5)]
try:
    held.append(numpy.empty(300_000_000, numpy.uint8))
except MemoryError:
    print("refused")
print(open("/proc/self/oom_score_adj").read().strip())
"""


def test_a_process_is_refused_more_memory_than_there_is_and_is_the_first_to_go() -> None:
    said = subprocess.run([sys.executable, "-c", _TAKE], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["refused", "500"]


def test_each_pause_is_twice_the_last_and_none_is_longer_than_five_minutes() -> None:
    assert [pause_before(attempt) for attempt in (2, 3, 4)] == [5, 10, 20]
    assert pause_before(100) == 300
