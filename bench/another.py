"""One more checkpoint of a configuration whose graph is captured already: beside optimum-cli, and beside what cannot be left out."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import peer
from bench.models import BERT_BASE, MINILM, Model
from bench.ours import Batch, Entry
from bench.processes import run
from bench.table import Row

OF_OPTIMUM = ((MINILM, 0.12), (BERT_BASE, 0.25))
OF_THE_FLOOR = 1.3
_MORE = 4


def measure() -> Iterator[Row]:
    """The difference between a batch of five fine-tunes and one of one, divided by four, so that nothing is hidden outside of stages."""
    for model, at_most in OF_OPTIMUM:
        with tempfile.TemporaryDirectory(prefix="converter-bench-") as name:
            place = Path(name)
            entries = [Entry(model, model.checkpoint(place / "checkpoints" / str(seed), seed)) for seed in range(2 + _MORE)]
            graphs = place / "graphs"
            Batch(entries[:1], place / "first", graphs).run()  # captures the graph
            alone, more = Batch(entries[1:2], place / "alone", graphs), Batch(entries[1:], place / "more", graphs)
            before, after = alone.run(), more.run()
            seconds = (after.cpu_seconds - before.cpu_seconds) / _MORE
            in_stages = (sum(more.stage_seconds()) - sum(alone.stage_seconds())) / _MORE
            floor = _floor(model, entries[1].checkpoint, alone.artifact(0))
            exports = [peer.export(model, entry.checkpoint, place / f"peer-{entry.checkpoint.name}") for entry in entries[:2]]
            theirs = sum(export.cpu_seconds for export in exports) / len(exports)
        print(
            f"  {model.name}: ours {seconds:.2f} CPU s ({in_stages:.2f} of them in stages), alone {before.cpu_seconds:.1f}; floor: ", end=""
        )
        print(", ".join(f"{what} {value:.2f}" for what, value in floor.items()), flush=True)
        yield Row(f"one more {model.name}", "CPU s", seconds, theirs, ratio_at_most=at_most)
        yield Row(f"one more {model.name}", "CPU s", seconds, sum(floor.values()), "floor", ratio_at_most=OF_THE_FLOOR)


def _floor(model: Model, checkpoint: Path, artifact: Path) -> dict[str, float]:
    """CPU seconds by purpose, measured in a separate process."""
    cost = run([sys.executable, "-m", "bench.floor", checkpoint, model.feature, artifact])
    seconds: dict[str, float] = json.loads(cost.output.splitlines()[-1])
    return seconds
