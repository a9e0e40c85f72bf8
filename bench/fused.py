"""CPU time of a call of fused graphs in ONNX Runtime, beside the fused graphs of other tools from the same checkpoint.

Each file is called in a separate process, and the files take turns: of several sessions in one process the first are slower by up to
5%, because later ones have the larger pages.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import torch
import transformers

from bench import peer
from bench.models import GPT2, MINILM, Model
from bench.ours import Batch, Entry
from bench.table import Row
from converter.architectures.cache_names import cache_argument

AT_MOST = 0.95
_ROUNDS = 5
_WARM = 10
_HEADS, _SIZE = 12, 64  # GPT-2's; transformers' export has names for them, as for what varies


@dataclass(frozen=True)
class Call:
    """How many texts and tokens a call has, and how many are in the cache; how often it is made in a round."""

    batch: int
    tokens: int
    past: int
    calls: int

    def __str__(self) -> str:
        return f"{self.batch} × {self.tokens}" + (f" after {self.past}" if self.past else "")


CALLS: Mapping[str, Sequence[Call]] = {
    "default": (Call(1, 16, 0, 200), Call(1, 128, 0, 50)),
    "causal-lm-with-past": (Call(1, 1, 32, 20), Call(1, 1, 128, 20)),
}


def measure() -> Iterator[Row]:
    """MiniLM, and a step of GPT-2 with a cache: ours for a CPU beside the best of the others."""
    for model in (MINILM, GPT2):
        with tempfile.TemporaryDirectory(prefix="converter-bench-") as name:
            files = _files(model, Path(name))
            results = _take_turns(files, model.feature)
        for place, call in enumerate(CALLS[model.feature]):
            rounds = {who: [medians[place] for medians in of] for who, of in results.items()}
            best = {who: min(times) for who, times in rounds.items()}
            print(f"  {model.name} at {call}, CPU ms: the best of {_ROUNDS} rounds' medians, and their median", flush=True)
            for who in sorted(best, key=lambda who: best[who]):
                print(f"    {who:36} {best[who]:7.3f} {statistics.median(rounds[who]):7.3f}", flush=True)
            first = min((who for who in best if not who.startswith("ours")), key=lambda who: best[who])
            yield Row(f"{model.name} at {call}, fused", "CPU ms", best["ours, cpu"], best[first], beside_is=first, ratio_at_most=AT_MOST)


def _files(model: Model, place: Path) -> Mapping[str, Path]:
    """The file of each, by who made it."""
    checkpoint = model.checkpoint(place / "checkpoint")
    files = {}
    for optimize in ("none", "cpu", "cuda"):
        batch = Batch([Entry(model, checkpoint, f"optimize={optimize}")], place / optimize, place / "graphs")
        batch.run()
        files[f"ours, {optimize}"] = batch.artifact(0) / "model.onnx"
    for level in ("", "O2", "O3"):
        peer.export(model, checkpoint, place / f"peer{level}", level)
        files[f"optimum {level or 'without -O'}"] = place / f"peer{level}" / "model.onnx"
    files["transformers.exporters, cpu"] = _by_transformers(model, checkpoint, place / "transformers.onnx")
    files["captured, optimize_for_ort"] = _by_onnxscript(files["ours, none"], place / "onnxscript.onnx")
    return files


def _by_transformers(model: Model, checkpoint: Path, path: Path) -> Path:
    """transformers' own exporter with its fusions for a CPU."""
    from transformers.exporters.configs import OnnxConfig
    from transformers.exporters.exporter_onnx import OnnxExporter

    cached = model.feature.endswith("with-past")
    module = (transformers.AutoModelForCausalLM if cached else transformers.AutoModel).from_pretrained(checkpoint).eval()
    inputs: dict[str, Any] = {"input_ids": torch.ones(2, 3, dtype=torch.long), "attention_mask": torch.ones(2, 3, dtype=torch.long)}
    if cached:
        past = torch.randn(2, module.config.num_attention_heads, 5, module.config.hidden_size // module.config.num_attention_heads)
        layers = [(past, past.clone()) for _ in range(module.config.num_hidden_layers)]
        inputs |= {
            "attention_mask": torch.ones(2, 8, dtype=torch.long),
            cache_argument(module.forward): transformers.DynamicCache(layers),
            "use_cache": True,
        }
    exported = OnnxExporter().export(module, inputs, OnnxConfig(dynamic=True, ort_fusions="cpu"))
    ir.save(exported.program, path)
    return path


def _by_onnxscript(captured: Path, path: Path) -> Path:
    """What onnxscript makes of our captured graph."""
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    fused, _ = optimize_for_ort(ir.load(captured))
    ir.save(fused, path)
    return path


def _take_turns(files: Mapping[str, Path], feature: str) -> Mapping[str, list[list[float]]]:
    """The median of each kind of call, by file and round; the order rotates."""
    medians: dict[str, list[list[float]]] = {who: [] for who in files}
    for turn in range(_ROUNDS):
        names = list(files)
        for who in names[turn % len(names) :] + names[: turn % len(names)]:
            command = [sys.executable, "-m", "bench.fused", feature, files[who]]
            medians[who].append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    return medians


def _medians(path: Path, feature: str) -> list[float]:
    """CPU milliseconds of each kind of call in a session of one thread with everything else at its default."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    medians = []
    for call in CALLS[feature]:
        feed = {node.name: _input(node, call) for node in session.get_inputs()}
        times = []
        for turn in range(-_WARM, call.calls):
            started = time.process_time()
            session.run(None, feed)
            if turn >= 0:
                times.append((time.process_time() - started) * 1000)
        medians.append(statistics.median(times))
    return medians


def _input(node: onnxruntime.NodeArg, call: Call) -> np.ndarray[Any, Any]:
    shape = (call.batch, call.tokens)
    made = {
        "input_ids": lambda: np.random.default_rng(0).integers(1000, 20000, shape),
        "attention_mask": lambda: np.ones((call.batch, call.past + call.tokens), np.int64),
        "token_type_ids": lambda: np.zeros(shape, np.int64),
        "position_ids": lambda: np.arange(call.past, call.past + call.tokens)[None].repeat(call.batch, 0),
    }
    if node.name in made:
        return made[node.name]()
    return np.random.default_rng(0).standard_normal((call.batch, _HEADS, call.past, _SIZE)).astype(np.float32)


if __name__ == "__main__":
    print(json.dumps(_medians(Path(sys.argv[2]), sys.argv[1])))
