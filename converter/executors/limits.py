"""The limits of one job, and its retries after a transient failure."""

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


DEFAULT = Limits(timeout=7200.0, retries=2)
"""The limits of `converter run` and `converter.run`."""


def pause_before(attempt: int) -> float:
    """Seconds before a job's attempt of this number, from 2 on: each pause is twice the last."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (attempt - 2))


def limit_memory(available: int, weights: int) -> None:
    """Limit this process to the `available` memory in bytes, so that an allocation fails before the kernel kills a process.

    The kernel counts writable memory (RLIMIT_DATA): the current use of the process, and its mapped `weights`, are added. If memory runs
    out anyway, the kernel kills this process first.
    """
    most = _writable_bytes() + available + _MAPPED * weights
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # if the kernel allows it
        file.write("500")


def _writable_bytes() -> int:
    """The writable memory of this process in bytes, as the kernel counts it."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData:"))
