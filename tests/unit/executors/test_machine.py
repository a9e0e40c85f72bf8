"""The memory and the cores that a machine or a container has left, by the kernel's files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from converter.executors.machine import available_bytes, cores

MEMINFO = "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:    8000 kB\n"


def kernel(root: Path, files: dict[str, str]) -> Path:
    """A folder that has what the kernel tells of itself."""
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8_192_000),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "max", "sys/fs/cgroup/memory.current": "5"}, 8_192_000),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "5000", "sys/fs/cgroup/memory.current": "2000"}, 3000),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "5000", "sys/fs/cgroup/memory.current": "6000"}, 0),
        (
            {
                "proc/self/cgroup": "0::/",
                "sys/fs/cgroup/memory.max": "5000",
                "sys/fs/cgroup/memory.current": "4000",
                "sys/fs/cgroup/memory.stat": "anon 500\nactive_file 1000\ninactive_file 2000",
            },
            4000,
        ),
        (
            {
                "proc/self/cgroup": "0::/user/service",
                "sys/fs/cgroup/user/memory.max": "7000",
                "sys/fs/cgroup/user/memory.current": "6000",
                "sys/fs/cgroup/user/service/memory.max": "max",
                "sys/fs/cgroup/user/service/memory.current": "1000",
            },
            1000,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/docker/name\n1:cpu,cpuacct:/docker/name\n0::/",  # the host's name for what is mounted as /
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "7000",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "6000",
                "sys/fs/cgroup/memory/memory.stat": "active_file 1\ninactive_file 1\ntotal_active_file 100\ntotal_inactive_file 200",
            },
            1300,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": str(2**63 - 4096),
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "6000",
            },
            8_192_000,
        ),
    ],
    ids=["no group", "no limit", "a limit", "above it", "files count as free", "a limit further up", "version 1", "version 1 without"],
)
def test_a_container_has_what_its_limit_leaves(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert available_bytes(kernel(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "250000 100000"}, 2),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        (
            {
                "proc/self/cgroup": "1:cpu,cpuacct:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            8,
        ),
    ],
    ids=["no group", "no quota", "two and a half", "half a core", "version 1", "version 1 without"],
)
def test_the_cores_are_those_that_the_process_is_bound_to_or_its_quotas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert cores(kernel(tmp_path, files)) == expected


def test_this_machine_has_something() -> None:
    assert available_bytes() > 10**8
    assert cores() >= 1
