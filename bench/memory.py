"""Peak anonymous memory of a conversion of BERT-base, beyond the imports, sampled from outside.

Target: at most 1.3 times the weights, validation included. The kernel cannot drop anonymous memory; pages of the mapped checkpoint and
of the written artifact, which it can drop, do not count.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.table import Row
from converter.core.timing import anonymous_bytes

TARGET = 1.3
_INTERVAL = 0.004  # seconds between two samples

_MAKE = """
import sys, torch, transformers
torch.manual_seed(0)
transformers.BertForMaskedLM(transformers.BertConfig()).save_pretrained(sys.argv[1])
"""

_CONVERT = """
import json, sys
from pathlib import Path

from converter.core.timing import anonymous_bytes
import converter.executors.preload, transformers.models.bert.modeling_bert
from converter.checkpoints.source import parse_source
from converter.pipeline import run_job
from converter.core.records import Job
from converter.backends import BACKENDS
import torch
torch.set_num_threads(1)
print("imported", flush=True); sys.stdin.readline()
source = parse_source(sys.argv[1], Path("/"))
options = BACKENDS["onnx"].options(feature=sys.argv[3], profile="documented")
job = Job(source=source, backend="onnx", options=options, destination=Path(sys.argv[2]))
outcome = run_job(job, lambda event: event.event == "stage-began" and print("stage", event.stage, flush=True))
print("outcome", outcome.model_dump_json(), flush=True); sys.stdin.readline()
"""

# The memory of a session in a separate process: opened by the file's name, or as validation does.
_OPEN = """
import sys
from pathlib import Path

from converter.core.timing import anonymous_bytes
import onnxruntime, converter.backends.onnx.session as session
from converter.core.timing import anonymous_bytes
path, way = Path(sys.argv[1]), sys.argv[2]
before = anonymous_bytes()
opened = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]) if way == "by name" else session.OnnxSession(path)
print((anonymous_bytes() - before) / 1e6)
"""


def rows() -> Iterator[Row]:
    """Print all figures. The logits over a vocabulary are masked-lm's largest outputs: it is shown, as no target is set for it."""
    for feature, at_most in (("default", TARGET), ("masked-lm", None)):
        measured = measure(feature)
        print(f"  {feature}")
        for name, value in measured.items():
            print(f"    {name:28} {value}", flush=True)
        peak = measured["ratio"] * measured["weights MB"]
        yield Row(f"peak of one BERT-base, {feature}", "MB", peak, measured["weights MB"], "weights", ratio_at_most=at_most)


def measure(feature: str) -> dict[str, float]:
    """Convert a BERT-base with random weights for `feature` in a separate process; megabytes are 10^6 bytes."""
    with tempfile.TemporaryDirectory(prefix="converter-bench-") as folder:
        checkpoint = Path(folder, "checkpoint")
        subprocess.run([sys.executable, "-c", _MAKE, str(checkpoint)], check=True, capture_output=True)
        weights = (checkpoint / "model.safetensors").stat().st_size
        command = [sys.executable, "-c", _CONVERT, str(checkpoint), str(Path(folder, "artifact")), feature]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout and process.stdin
            assert process.stdout.readline() == "imported\n"
            base = anonymous_bytes(process.pid)
            process.stdin.write("go\n")
            process.stdin.flush()
            peaks, outcome = _watch(process)
            process.stdin.close()
        assert outcome["status"] == "converted", outcome["failure"]
        opened = {way: _open(Path(folder, "artifact", "model.onnx"), way) for way in ("by name", "as validation does")}
    beyond = {stage: round((peak - base) / 1e6, 1) for stage, peak in peaks.items()}
    return {
        "weights MB": round(weights / 1e6, 1),
        "imports MB": round(base / 1e6, 1),
        **{f"{stage} MB beyond": amount for stage, amount in beyond.items()},
        **{f"open {way}, MB": amount for way, amount in opened.items()},
        "ratio": round(max(beyond.values()) * 1e6 / weights, 3),
        "CPU s": round(sum(stage["cpu_seconds"] for stage in outcome["stages"]), 1),
    }


def _open(path: Path, way: str) -> float:
    """The anonymous megabytes that an open session holds."""
    opened = subprocess.run([sys.executable, "-c", _OPEN, str(path), way], check=True, capture_output=True, text=True)
    return round(float(opened.stdout), 1)


def _watch(process: subprocess.Popen[str]) -> tuple[dict[str, int], dict[str, object]]:
    """Sample the process until it tells its outcome; the peak by stage."""
    assert process.stdout
    peaks: dict[str, int] = {}
    stage = "start"
    os.set_blocking(process.stdout.fileno(), False)
    text = ""
    while True:
        peaks[stage] = max(peaks.get(stage, 0), anonymous_bytes(process.pid))
        if not select.select([process.stdout], [], [], 0)[0]:
            time.sleep(_INTERVAL)
            continue
        text += process.stdout.read() or ""
        *lines, text = text.split("\n")
        for line in lines:
            word, _, rest = line.partition(" ")
            if word == "outcome":
                return peaks, json.loads(rest)
            stage = rest
