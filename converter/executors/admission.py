"""How many jobs at once, for `--jobs auto`: as many as there are cores, and as their predicted memory leaves room for.

Memory is anonymous memory, in bytes: what the kernel cannot drop. Mapped weights are not among it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from converter.architectures import FEATURES
from converter.backends import BACKENDS
from converter.checkpoints.stored import stored_tensors
from converter.core.records import Checkpoint
from converter.pipeline import Plan

SERVER_BYTES = 360_000_000
"""What the imports take, once for all workers: RssAnon of a worker as it begins, see docs/reference/measurements.md."""
PATIENCE = 4
"""How many jobs may go before the one that waits for memory the longest, and how many are kept planned for that."""


@dataclass(frozen=True)
class Demand:
    """What a job takes beyond the imports: `start` in bytes, and times its weights in float32 and its longest logits."""

    start: int
    weights: float
    logits: float


DEMANDS: Mapping[str, Demand] = {
    "onnx": Demand(start=100_000_000, weights=0.8, logits=3.0),
    "torchscript": Demand(start=250_000_000, weights=1.8, logits=4.0),
    "neuron": Demand(start=250_000_000, weights=1.8, logits=4.0),
}
"""No less than what was measured of BERT, GPT-2, BART and T5: see docs/reference/measurements.md, `make bench PARTS=demand`. Neuron's is
TorchScript's: its compiler was measured by nobody."""
OF_VARIANTS = Demand(start=250_000_000, weights=5.5, logits=3.0)
"""No less than what float16 and integers took of GPT-2 (5.1 and 5.4 times its weights) and MiniLM: quantizers hold several of a model."""
T5_TIMES = 2
"""How much more of its weights a T5 takes in ONNX Runtime than the others: 2.7 times them was measured, of BERT 0.6."""

_HALVES = ("float16", "bfloat16")
_FLOATS: Mapping[str, int] = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
"""Bytes of an element of each floating point type, as safetensors names it."""
_UNHEARD_OF = 10**9
"""No vocabulary and no text has as many tokens."""
_WITHOUT_LIMIT = 512
"""Tokens that validation tries where a model names no limit, as `OnnxConfig.max_sequence_length` has it."""
_ROOT = Path("/")


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
    count = cores()
    if workers is not None:
        return Admission(workers, count)
    return Admission(min(count, max(1, jobs)), count, max(0, available_bytes() - SERVER_BYTES))


def predicted_bytes(plan: Plan) -> int:
    """The peak of memory that a job is predicted to take beyond the imports, in bytes.

    What is narrower than float32 is widened, by who loads it or by ONNX Runtime, and is no view of its file then.
    """
    options, checkpoint = plan.job.options, plan.checkpoint
    stored, as_float32 = _weight_bytes(checkpoint)
    copied = as_float32 if as_float32 != stored else 0
    feature = FEATURES.get(options.feature or "")
    logits = _logits_bytes(checkpoint.config) if feature and feature.task.endswith("-lm") else 0
    demand = DEMANDS[plan.job.backend]
    held = demand.weights * as_float32 * (T5_TIMES if plan.job.backend == "onnx" and checkpoint.config.get("model_type") == "t5" else 1)
    predicted = round(demand.start + held + copied + demand.logits * logits)
    if not BACKENDS[plan.job.backend].variants(options):
        return predicted
    return max(predicted, round(OF_VARIANTS.start + OF_VARIANTS.weights * as_float32 + OF_VARIANTS.logits * logits))


def available_bytes(root: Path = _ROOT) -> int:
    """The memory that can still be taken, in bytes: MemAvailable, or less where a control group, of version 1 or 2, has less left.

    Files that a group has in memory do not count as taken, as the kernel drops them. `root` is where /proc and /sys lie.
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
    """The cores that this process may use: those that it is bound to, or fewer where a control group's quota is for fewer; at least 1."""
    counts = [len(os.sched_getaffinity(0))]
    for group in _groups(root, "cpu"):
        quota = _words(group / "cpu.max") or [*_words(group / "cpu.cfs_quota_us"), *_words(group / "cpu.cfs_period_us")]
        if len(quota) == 2 and quota[0].isdigit():  # neither "max" nor -1
            counts.append(int(quota[0]) // int(quota[1]))
    return max(1, min(counts))


def _weight_bytes(checkpoint: Checkpoint) -> tuple[int, int]:
    """The bytes of a checkpoint's weights: as they are stored, and in float32. Where no header is at hand, config.json names their type."""
    named = checkpoint.config.get("dtype", checkpoint.config.get("torch_dtype"))
    stored = as_float32 = 0
    for name, size in checkpoint.files.items():
        if name.endswith((".safetensors", ".bin")):
            sizes = _tensor_bytes(checkpoint.folder / name) if checkpoint.folder and name.endswith(".safetensors") else None
            of_file, widened = sizes or (size, size * (2 if named in _HALVES else 1))
            stored, as_float32 = stored + of_file, as_float32 + widened
    return stored, as_float32


def _tensor_bytes(path: Path) -> tuple[int, int] | None:
    """The bytes of the tensors in a safetensors file, as they are and in float32; None where its header cannot be read."""
    try:
        tensors = stored_tensors(path).values()
    except (OSError, ValueError):  # its job will tell what is wrong with it
        return None
    return sum(tensor.length for tensor in tensors), sum(tensor.length * 4 // _FLOATS.get(tensor.dtype, 4) for tensor in tensors)


def _logits_bytes(config: Mapping[str, Any]) -> int:
    """The bytes of the logits of one text as long as the model takes, in float32; 0 where config.json has no figures for that."""
    vocabulary = config.get("vocab_size")
    length = config.get("max_position_embeddings") or config.get("n_positions") or _WITHOUT_LIMIT
    if not isinstance(vocabulary, int) or not isinstance(length, int):
        return 0
    # whatever is wrong with them, its job will tell
    return 4 * vocabulary * length if 0 < vocabulary < _UNHEARD_OF and 0 < length < _UNHEARD_OF else 0


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
    prefix = "total_" if "total_active_file" in statistics else ""  # version 1 tells those of the groups below apart
    return sum(int(statistics.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))


def _words(path: Path) -> list[str]:
    return [word for line in _lines(path) for word in line.split()]


def _lines(path: Path) -> list[str]:
    """The lines of a file of the kernel's; none where there is no such file."""
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
