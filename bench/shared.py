"""What `--weights shared` adds to a repository: a graph that points into the checkpoint's own weights."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import peer
from bench.models import MINILM
from bench.processes import run
from bench.table import Row

AT_MOST = 1.0  # MB


def measure() -> Iterator[Row]:
    """All that the checkpoint's folder has more than before; beside it, what optimum-cli stores."""
    with tempfile.TemporaryDirectory(prefix="converter-bench-") as name:
        place = Path(name)
        checkpoint = MINILM.checkpoint(place / "checkpoint")
        before = {file.name: file.read_bytes() for file in checkpoint.iterdir() if file.is_file()}
        peer.export(MINILM, checkpoint, place / "peer")
        theirs = peer.stored_bytes(place / "peer")
        command = ["onnx", "--model", checkpoint, "--feature", MINILM.feature, "--weights", "shared", checkpoint]
        run([sys.executable, "-m", "converter", *command])
        added = {file.name: file.stat().st_size for file in checkpoint.iterdir() if file.is_file() and file.name not in before}
        assert all((checkpoint / name).read_bytes() == data for name, data in before.items())
    print("  adds " + ", ".join(f"{file} of {size / 1e6:.3f} MB" for file, size in added.items()))
    yield Row("MiniLM with weights=shared adds", "MB", sum(added.values()) / 1e6, theirs / 1e6, at_most=AT_MOST)
