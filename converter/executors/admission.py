"""How many jobs run at once where nobody says: as many as there are cores for, and memory, by what each is predicted to take."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from converter.pipeline import Plan

BESIDE_WEIGHTS = 150_000_000
"""Anonymous bytes of a worker beside its weights: MiniLM's takes 180 MB at the most for 91 MB of weights, by the stages of its report."""
PER_WEIGHT = 1.8
"""Anonymous bytes for each byte of weights: 1.1 to 1.3 for most, 1.8 where outputs are logits over a vocabulary; see bench/RESULTS.md."""

_NARROW = ("float16", "bfloat16", "torch.float16", "torch.bfloat16")
_GROUPS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))  # versions 2 and 1


def predicted_bytes(plan: Plan) -> int:
    """The peak of anonymous memory that a job is predicted to take, in bytes, beyond what its worker shares with all others.

    A checkpoint that is widened on loading is no view of its file: it counts twice as long, and once more for the copy.
    """
    config = plan.checkpoint.config
    widened = plan.job.options.dtype == "float32" and config.get("dtype", config.get("torch_dtype")) in _NARROW
    weights = plan.checkpoint.weight_bytes * (2 if widened else 1)
    return BESIDE_WEIGHTS + round(weights * (PER_WEIGHT + widened))


def available_bytes(root: Path = Path("/")) -> int:
    """What the machine, or the container, has left, in bytes as Linux counts it; `root` is where /proc and /sys lie."""
    lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for limit, used in _GROUPS:
        with suppress(OSError, ValueError):  # there is no such group, or it has no limit ("max")
            group = root / "sys/fs/cgroup"
            found.append(int((group / limit).read_text(encoding="ascii")) - int((group / used).read_text(encoding="ascii")))
    return max(0, min(found))


def cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0))
