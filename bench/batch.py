"""Ten different models: CPU seconds and sizes beside optimum-cli's, and the memory of a batch's workers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import peer
from bench.models import DISTILGPT2, TEN, weight_bytes
from bench.ours import Batch, Entry
from bench.processes import WorkerMemory
from bench.table import Row

CPU_AT_MOST = 0.5
MEMORY_AT_MOST = 1.3
_MEGABYTE = 1e6


def measure() -> Iterator[Row]:
    """Convert the ten with us, in one batch with an empty graph cache, then with the peer, each in a separate process."""
    with tempfile.TemporaryDirectory(prefix="converter-bench-") as name:
        place = Path(name)
        entries = [Entry(model, model.checkpoint(place / "checkpoints" / model.slug)) for model in TEN]
        batch = Batch(entries, place / "ours", place / "graphs")
        memory = WorkerMemory([batch.artifact(index) for index in range(len(entries))])
        cost = batch.run(watch=memory)
        in_stages = batch.stage_seconds()
        print(f"  ours: {cost.cpu_seconds:.1f} CPU s ({sum(in_stages):.1f} of them in stages), {cost.wall_seconds:.1f} s of wall time")
        weights = [weight_bytes(entry.checkpoint) for entry in entries]
        seconds, sizes, theirs = 0.0, [], []
        for index, entry in enumerate(entries):
            exported = place / "peer"
            peer_cost = peer.export(entry.model, entry.checkpoint, exported)
            seconds += peer_cost.cpu_seconds
            sizes.append(sum(file.stat().st_size for file in batch.artifact(index).glob("model.onnx*")))
            theirs.append(peer.stored_bytes(exported))
            shutil.rmtree(exported)
            print(
                f"  {entry.model.name:24} {entry.model.feature:24} optimum {peer_cost.cpu_seconds:5.1f} CPU s, "
                f"ours {in_stages[index]:5.1f} in stages; MB: "
                f"weights {weights[index] / 1e6:.1f}, ours {sizes[index] / 1e6:.1f}, optimum's {theirs[index] / 1e6:.1f}",
                flush=True,
            )
    yield Row(f"{len(TEN)} different models", "CPU s", cost.cpu_seconds, seconds, ratio_at_most=CPU_AT_MOST)
    yield Row(
        "peak of a worker in them, beyond the imports",
        "MB",
        max(memory.peaks) / 1e6,
        max(weights) / 1e6,
        "largest weights",
        ratio_at_most=MEMORY_AT_MOST,
    )
    tied = TEN.index(DISTILGPT2)
    yield Row("file of DistilGPT2, tied", "MB", sizes[tied] / 1e6, theirs[tied] / 1e6, at_most=(weights[tied] + _MEGABYTE) / 1e6)
    largest = max(range(len(TEN)), key=lambda index: sizes[index] - weights[index])
    yield Row(
        f"file of {TEN[largest].name}, the most beyond its weights",
        "MB",
        sizes[largest] / 1e6,
        theirs[largest] / 1e6,
        at_most=(weights[largest] + _MEGABYTE) / 1e6,
    )
