"""A batch of a hundred: the memory of its processes over time, and the time of an unchanged run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.models import BERT_BASE, SMALL, weight_bytes
from bench.ours import Batch, Entry
from bench.processes import WorkerMemory
from bench.table import Row

UNCHANGED_AT_MOST = 3.0
MEMORY_AT_MOST = 1.3
GROWTH_AT_MOST = 1.05
"""Runs of one and the same conversion differ by as much."""

_ENTRIES, _LAST = 100, 50


def measure() -> Iterator[Row]:
    """The first and the fiftieth are a BERT-base, all others small fine-tunes of three configurations; one job at a time."""
    with tempfile.TemporaryDirectory(prefix="converter-bench-") as name:
        place = Path(name)
        entries = []
        for number in range(_ENTRIES):
            model = BERT_BASE if number in (0, _LAST - 1) else SMALL[number % len(SMALL)]
            entries.append(Entry(model, model.checkpoint(place / "checkpoints" / f"{number:03}-{model.slug}", number)))
        weights = [weight_bytes(entry.checkpoint) for entry in entries]
        batch = Batch(entries, place / "ours", place / "graphs")
        memory = WorkerMemory([batch.artifact(index) for index in range(_ENTRIES)])
        cost = batch.run("--jobs", "1", watch=memory)
        again = batch.run("--jobs", "1", status="skipped")
    print(f"  {_ENTRIES} models, {sum(weights) / 1e9:.1f} GB: {cost.cpu_seconds:.1f} CPU s, {cost.wall_seconds:.1f} s of wall time")
    print(f"  again: {again.cpu_seconds:.2f} CPU s, {again.wall_seconds:.2f} s of wall time")
    for who, held in (("the server", memory.server), ("the process that leads", memory.parent)):
        print(f"  {who} holds {held[0] / 1e6:.1f} MB at the first worker, {max(held) / 1e6:.1f} at most, {held[-1] / 1e6:.1f} at the last")
    first, last = memory.peaks[0] / 1e6, memory.peaks[_LAST - 1] / 1e6
    largest = max(weights) / 1e6
    yield Row(
        f"peak of a worker in {_ENTRIES}, beyond the imports", "MB", max(memory.peaks) / 1e6, largest, "largest weights", MEMORY_AT_MOST
    )
    yield Row(f"peak of BERT-base as model {_LAST}", "MB", last, first, "as the first", GROWTH_AT_MOST)
    yield Row(f"{_ENTRIES} unchanged entries again, wall", "s", again.wall_seconds, at_most=UNCHANGED_AT_MOST)
