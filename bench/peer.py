"""optimum-cli, the peer, in a separate environment (`make build/peer/done.stamp`), one process per model."""

from __future__ import annotations

from pathlib import Path

from bench.models import Model
from bench.processes import Cost, run

_CLI = Path(__file__).parent.parent / "build" / "peer" / "bin" / "optimum-cli"

_TASKS = {
    "default": "feature-extraction",
    "sequence-classification": "text-classification",
    "token-classification": "token-classification",
    "masked-lm": "fill-mask",
    "causal-lm-with-past": "text-generation-with-past",
    "seq2seq-lm-with-past": "text2text-generation-with-past",
}
"""Its names for our features."""


def export(model: Model, checkpoint: Path, place: Path, optimize: str = "") -> Cost:
    """Export a checkpoint into the folder `place`, with its own validation, and optimized at a level such as O2.

    Raises RuntimeError after a failure or without a file.
    """
    command: list[str | Path] = [
        _CLI,
        "export",
        "onnx",
        "--model",
        checkpoint,
        "--task",
        _TASKS[model.feature],
        "--library",
        "transformers",
        *(["--optimize", optimize] if optimize else []),
        place,
    ]
    cost = run(command)
    if not list(place.glob("*.onnx")):  # it exits with 0 after a failed validation
        raise RuntimeError(f"optimum-cli left no file for {model.name}:\n{cost.output[-2000:]}")
    return cost


def quantize(exported: Path, place: Path) -> Cost:
    """Quantize its export to int8 with ranges per call, by its documentation for this kind of processor."""
    cost = run([_CLI, "onnxruntime", "quantize", "--onnx_model", exported, "--avx512_vnni", "-o", place])
    if not list(place.glob("*.onnx")):
        raise RuntimeError(f"optimum-cli left no file:\n{cost.output[-2000:]}")
    return cost


def stored_bytes(place: Path) -> int:
    """The size of all that it wrote of a model's graphs and weights."""
    return sum(file.stat().st_size for file in place.glob("*.onnx*"))
