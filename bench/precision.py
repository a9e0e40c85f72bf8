"""What each precision of all-MiniLM-L6-v2 is in bytes, loses and takes, beside optimum's float32 and int8, in one run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from bench import latency, peer
from bench.models import MINILM
from bench.processes import run
from bench.table import Row
from converter.architectures import find_architecture
from converter.backends import BACKENDS
from converter.backends.onnx.session import OnnxSession
from converter.checkpoints.loading import load_model, load_tokenizer
from converter.core.records import AccuracyDrop
from converter.validation.accuracy.evaluator import AccuracyEvaluator
from converter.validation.accuracy.texts import texts_for
from converter.validation.reference import Reference

_VARIANTS = "fp32,fp16,bf16,q8,int8-static,w8,q4,q4f16"


def measure() -> Iterator[Row]:
    """Print a row for each file; the tier is the only target."""
    with tempfile.TemporaryDirectory(prefix="converter-bench-") as name:
        place = Path(name)
        checkpoint = MINILM.checkpoint(place / "checkpoint")
        cost = run(["converter", "onnx", "--model", checkpoint, "--precision", _VARIANTS, "--tier", "any", place / "ours"])
        print(f"  all variants, converted, searched and measured: {cost.cpu_seconds:.0f} CPU s", flush=True)
        record = json.loads((place / "ours" / "converter.json").read_bytes())
        files = {variant["name"]: place / "ours" / variant["files"][0] for variant in record["verdict"]["variants"]}
        losses = {variant["name"]: AccuracyDrop.model_validate(variant["accuracy_drop"]) for variant in record["verdict"]["variants"]}
        peer.export(MINILM, checkpoint, place / "peer")
        peer.quantize(place / "peer", place / "peer-int8")
        files |= {"optimum": place / "peer" / "model.onnx", "optimum int8": place / "peer-int8" / "model_quantized.onnx"}
        losses |= dict(zip(("optimum", "optimum int8"), _lost(checkpoint, [files["optimum"], files["optimum int8"]]), strict=True))
        latencies = {
            shape: latency.take_turns({who: latency.open_session(path) for who, path in files.items()}, shape, rounds)
            for shape, rounds in _SHAPES
        }
        print("  | file | MB | cosine, least | neighbours | CPU ms at 1 × 16 | at 1 × 128 |\n  |---|---:|---:|---:|---:|---:|")
        for who, path in files.items():
            accuracy_drop, times = losses[who], " | ".join(f"{min(latencies[shape][who]):.2f}" for shape, _ in _SHAPES)
            quality = f"{accuracy_drop.cosine_mean:.4f}, {accuracy_drop.cosine_min:.4f} | {accuracy_drop.neighbours:.1%}"
            print(f"  | {who} | {path.stat().st_size / 1e6:.1f} | {quality} | {times} |", flush=True)
        yield from ()


_SHAPES = (((1, 16), 200), ((1, 128), 60))


def _lost(checkpoint: Path, files: Sequence[Path]) -> Iterator[AccuracyDrop]:
    """The accuracy drop of other tools' files, by the same evaluator; their inputs and outputs have the documented names."""
    architecture = find_architecture("bert")
    model = load_model(checkpoint, architecture.auto_class("default"), "float32")
    config = BACKENDS["onnx"].configure(architecture, model, BACKENDS["onnx"].options(feature="default", profile="documented"))
    evaluator = AccuracyEvaluator(Reference(model, tuple(config.outputs)), config, load_tokenizer(checkpoint), texts_for(None), "any")
    for file in files:
        with closing(OnnxSession(file)) as session:
            yield evaluator.accuracy_drop(session)
