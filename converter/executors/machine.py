"""The memory and the cores that this machine has left, or its control groups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def available_bytes(root: Path = _ROOT) -> int:
    """The available memory in bytes: MemAvailable, or the rest of a control group's limit (version 1 or 2) if smaller.

    A group's file pages do not count as used, because the kernel drops them. `root` contains /proc and /sys.
    """
    lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    amounts = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for group in _groups(root, "memory"):
        limit = _words(group / "memory.max") or _words(group / "memory.limit_in_bytes")
        usage = _words(group / "memory.current") or _words(group / "memory.usage_in_bytes")
        if limit and usage and limit[0].isdigit():  # "max" is none
            amounts.append(int(limit[0]) - int(usage[0]) + _file_bytes(group))
    return max(0, min(amounts))


def cores(root: Path = _ROOT) -> int:
    """The usable cores of this process: its CPU affinity, or a control group's quota if smaller; at least 1."""
    counts = [len(os.sched_getaffinity(0))]
    for group in _groups(root, "cpu"):
        quota = _words(group / "cpu.max") or [*_words(group / "cpu.cfs_quota_us"), *_words(group / "cpu.cfs_period_us")]
        if len(quota) == 2 and quota[0].isdigit():  # neither "max" nor -1
            counts.append(int(quota[0]) // int(quota[1]))
    return max(1, min(counts))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The control groups of this process that may limit it, each below those that it lies in; a container sees its own as the uppermost."""
    mount = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = mount / controller if controllers else mount  # version 2 has one tree for all
        group = top / path.strip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))


def _file_bytes(group: Path) -> int:
    """What of a control group's memory are pages of files."""
    statistics = dict(line.split() for line in _lines(group / "memory.stat"))
    prefix = "total_" if "total_active_file" in statistics else ""  # version 1 separates those of inner groups
    return sum(int(statistics.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))


def _words(path: Path) -> list[str]:
    return [word for line in _lines(path) for word in line.split()]


def _lines(path: Path) -> list[str]:
    """The lines of a kernel's file; empty if it does not exist."""
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
