"""Small valid records and folders for unit tests to change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from converter.core.records import (
    AccuracyDrop,
    ArtifactRecord,
    Case,
    Comparison,
    Failure,
    FileRecord,
    Influence,
    Latency,
    Outcome,
    Pushed,
    Search,
    Signature,
    SourceRecord,
    Stage,
    TensorSpec,
    Variant,
    Verdict,
    WeightCheck,
)


def comparison(**changes: Any) -> Comparison:
    """A right output with `changes`."""
    same = {"dtype": "float32", "expected_dtype": "float32", "shape": (2, 3), "expected_shape": (2, 3)}
    return Comparison(**{"output": "logits", **same, "close": True, "max_abs_error": 1e-7, "max_rel_error": 1e-7, **changes})


def case(*comparisons: Comparison, error: str | None = None) -> Case:
    return Case(name="padded left", axes={"batch": 2, "sequence": 3}, comparisons=comparisons, error=error)


def verdict(**changes: Any) -> Verdict:
    """A passed verdict with `changes`."""
    measured = {
        "cases": (case(comparison()),),
        "influences": (Influence(input="input_ids", reference_change=1.0, artifact_change=1.0, passed=True),),
        "weights": WeightCheck(compared=4),
    }
    return Verdict(**{"atol": 1e-5, "rtol": 1e-5, "runtime": "onnxruntime 1 CPU", **measured, **changes})


def variant(**changes: Any) -> Variant:
    """A passed quantized variant with `changes`."""
    accuracy_drop = AccuracyDrop(
        kind="embeddings", inputs=320, of="texts", distance=0.01, cosine_min=0.99, cosine_mean=0.995, neighbours=0.9
    )
    facts = {
        "name": "q8",
        "files": ("model_quantized.onnx",),
        "size": 2500,
        "reference_size": 10000,
        "computed": "int8",
        "stored": {"int8": 2000, "float32": 500},
        "required_tier": "lossy",
        "tier": "lossy",
        "accuracy_drop": accuracy_drop,
        "runtime": "onnxruntime 1",
        "cpu": "x86_64 avx2",
        "latency": Latency(axes={"batch": 1, "sequence": 24}, seconds=0.002, reference_seconds=0.004, calls=20, threads=1),
        "left_out": {"layer.*.value": "8 bits"},
        "search": Search(tried=7, inputs=240, cpu_seconds=12.4),
    }
    return Variant(**{**facts, **changes})


def artifact_record(*files: FileRecord, key: str = "key", **changes: Any) -> ArtifactRecord:
    source = SourceRecord(model="org/name", revision=None, identity="commit:" + "0123456789" * 4, model_type="bert", weight_bytes=10)
    tensor = TensorSpec(name="logits", dtype="float32", shape=("batch", 3))
    facts = {
        "options": {"feature": "default"},
        "versions": {"converter": "1"},
        "dtype": "float32",
        "signature": Signature(inputs=(tensor,), outputs=(tensor,)),
        "tried": {"batch": (1, 5)},
    }
    fields = {"source": source, "backend": "onnx", **facts, "verdict": verdict(), "stages": ()}
    return ArtifactRecord(key=key, files=files, **{**fields, **changes})


def outcome(**changes: Any) -> Outcome:
    """A converted model with `changes`."""
    stage = Stage(name="convert", seconds=1.5, cpu_seconds=1.0, peak_anonymous_bytes=2_000_000)
    what = {"model": "org/name", "backend": "onnx", "feature": "default", "status": "converted", "destination": "out/org/name/onnx"}
    return Outcome(**{**what, "artifact": artifact_record().summary, "verdict": verdict(), "stages": (stage,), **changes})


def failed(**changes: Any) -> Outcome:
    """A failed model with `changes`."""
    failure = Failure(stage="fetch", kind="CheckpointError", message="it is not there", hint="look elsewhere")
    return outcome(**{"status": "failed", "artifact": None, "verdict": None, "failure": failure, **changes})


def save_checkpoint(folder: Path, config: dict[str, Any] | None = None) -> Path:
    """A folder with a config, a tokenizer's file and a small file of weights: enough to be resolved, too little to be loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"} if config is None else config), encoding="utf-8")
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n", encoding="utf-8")
    save_file({"embeddings.weight": np.arange(600, dtype=np.float32)}, folder / "model.safetensors")
    return folder


def pushed(**changes: Any) -> Pushed:
    """An opened pull request with `changes`."""
    fields = {"repository": "org/name", "status": "pushed", "artifacts": ("out/org/name/onnx",), "commit": "0123456789" * 4}
    return Pushed(**{**fields, "pull_request": 3, "url": "https://hub/org/name/discussions/3", **changes})
