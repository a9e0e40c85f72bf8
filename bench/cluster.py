"""The same small batch on this machine's workers and on a Ray cluster of its cores: the cost of the cluster, with start and end."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.processes import run
from bench.table import Row
from tests.support.checkpoints import save_tiny

_COUNT = 20


def measure() -> Iterator[Row]:
    """Wall seconds, as a cluster's own processes are not all children of the command. Nothing is demanded of them."""
    with tempfile.TemporaryDirectory(prefix="converter-bench-") as name:
        place = Path(name)
        for number in range(_COUNT + 1):
            save_tiny(place / f"model{number}", "bert", seed=number)
        cache = ("--cache", place / "cache")
        run([sys.executable, "-m", "converter", "onnx", "--model", place / f"model{_COUNT}", *cache, place / "warm"])
        manifest = place / "models.txt"
        manifest.write_text("".join(f"{place}/model{number}\n" for number in range(_COUNT)), encoding="utf-8")
        command = [sys.executable, "-m", "converter", "--manifest", manifest, *cache]
        here = run([*command, "--output", place / "here", "--jobs", "2"]).wall_seconds
        there = run([*command, "--output", place / "there", "--executor", "ray"]).wall_seconds
    yield Row(f"{_COUNT} tiny BERTs on a Ray cluster of this machine, wall", "s", there, here, "--jobs 2")
