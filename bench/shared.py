"""What `weights=shared` adds to a repository: a graph that refers to the checkpoint's own weights."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import peer
from bench.models import MINILM
from bench.ours import Batch, Entry
from bench.table import Row
from converter.backends.onnx import OnnxOptions
from converter.ledger import RECORD

AT_MOST = 1.0  # MB


def measure() -> Iterator[Row]:
    """All files of the artifact but those that the checkpoint has too; nothing while there is no such option."""
    if "weights" not in OnnxOptions.model_fields:
        print("  the onnx backend has no option `weights` yet")
        return
    with tempfile.TemporaryDirectory(prefix="converter-bench-") as name:
        place = Path(name)
        checkpoint = MINILM.checkpoint(place / "checkpoint")
        batch = Batch([Entry(MINILM, checkpoint, "weights=shared")], place / "ours", place / "graphs")
        batch.run()
        there = {_sha256(file) for file in checkpoint.iterdir()}
        files = [file for file in batch.artifact(0).rglob("*") if file.is_file() and file.name != RECORD]
        added = {file.name: file.stat().st_size for file in files if _sha256(file) not in there}
        peer.export(MINILM, checkpoint, place / "peer")
        theirs = peer.stored_bytes(place / "peer")
    print("  adds " + ", ".join(f"{file} of {size / 1e6:.3f} MB" for file, size in added.items()))
    yield Row("MiniLM with weights=shared adds", "MB", sum(added.values()) / 1e6, theirs / 1e6, at_most=AT_MOST)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
