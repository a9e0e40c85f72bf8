"""CPU time of a call of the artifact in ONNX Runtime, beside optimum-cli's plain export of the same checkpoint."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from bench import peer
from bench.models import MINILM
from bench.ours import Batch, Entry
from bench.table import Row

AT_MOST = 1.0
_SHAPES = (((1, 16), 400), ((1, 128), 100))
"""Batch and tokens, and in how many rounds the two take turns."""


def measure() -> Iterator[Row]:
    """MiniLM as both export it, in sessions of one thread with everything else at its default."""
    with tempfile.TemporaryDirectory(prefix="converter-bench-") as name:
        place = Path(name)
        checkpoint = MINILM.checkpoint(place / "checkpoint")
        batch = Batch([Entry(MINILM, checkpoint)], place / "ours", place / "graphs")
        batch.run()
        peer.export(MINILM, checkpoint, place / "peer")
        sessions = {"optimum": open_session(place / "peer" / "model.onnx"), "ours": open_session(batch.artifact(0) / "model.onnx")}
        for shape, rounds in _SHAPES:
            turns = take_turns(sessions, shape, rounds)
            best = {who: min(times) for who, times in turns.items()}
            figures = ", ".join(f"{who} {best[who]:.3f} (median {statistics.median(times):.3f})" for who, times in turns.items())
            print(f"  {shape[0]} × {shape[1]}, the best of {rounds}: {figures}", flush=True)
            yield Row(f"MiniLM at {shape[0]} × {shape[1]}", "CPU ms", best["ours"], best["optimum"], ratio_at_most=AT_MOST)


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """A session of one thread, with everything else as a user gets it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def take_turns(sessions: Mapping[str, onnxruntime.InferenceSession], shape: tuple[int, int], rounds: int) -> Mapping[str, list[float]]:
    """CPU milliseconds of each call; the order rotates."""
    inputs = {
        "input_ids": np.random.default_rng(0).integers(1000, 20000, shape),
        "attention_mask": np.ones(shape, np.int64),
        "token_type_ids": np.zeros(shape, np.int64),
    }
    feeds = {who: {node.name: inputs[node.name] for node in session.get_inputs()} for who, session in sessions.items()}
    times: dict[str, list[float]] = {who: [] for who in sessions}
    for turn in range(-3, rounds):
        for who in list(sessions)[:: 1 if turn % 2 else -1]:
            started = time.process_time()
            sessions[who].run(None, feeds[who])
            if turn >= 0:  # the first calls plan their memory
                times[who].append((time.process_time() - started) * 1000)
    return times
