"""What one job may take, and what becomes of one that has met what may pass."""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import dataclass

_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 300.0
_MAPPED = 3
"""How often a job has its weights mapped at once: by transformers twice, each page so that it could be written to, and by its artifact."""


@dataclass(frozen=True)
class Limits:
    """For every job: `timeout` in seconds, None for no end; how many `retries` it has."""

    timeout: float | None = None
    retries: int = 0


def pause_before(attempt: int) -> float:
    """Seconds before a job's attempt of this number, from 2 on: each pause is twice the last."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (attempt - 2))


def limit_memory(available: int, weights: int) -> None:
    """Have this process be refused what goes beyond all of the memory that is `available`, before the kernel has to end somebody for it.

    The kernel counts what could be written to (RLIMIT_DATA), in bytes: what the process has by now, and its mapped `weights`, go on top.
    Should memory run out nevertheless, it is to be this process that ends.
    """
    most = _writable_bytes() + available + _MAPPED * weights
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # where the kernel lets it
        file.write("500")


def _writable_bytes() -> int:
    """What this process could write to, in bytes, as the kernel counts it."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData:"))
