"""`make bench`: print measurements beside their targets; exit code 1 if a target is missed.

`python -m bench latency memory` measures some of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator

import transformers

from bench import another, batch, cluster, demand, fused, growth, latency, limits, many, memory, precision, shared, torchscript
from bench.table import Row, render


def _torchscript() -> Iterator[Row]:
    """Print measurements without a target."""
    print("  CPU milliseconds of a call on one thread, side by side, in brackets over eager")
    for name, shape, times in torchscript.latencies():
        figures = "  ".join(f"{kind} {value:.2f} ({value / times['eager']:.2f})" for kind, value in times.items())
        print(f"  {name:24} {shape:9} {figures}", flush=True)
    print("  MB of an archive")
    for name, stored in torchscript.sizes():
        print(f"  {name:24} {'  '.join(f'{kind} {size / 1e6:.1f}' for kind, size in stored.items())}", flush=True)
    yield from ()


PARTS: dict[str, tuple[str, Callable[[], Iterator[Row]]]] = {
    "batch": ("ten different models, each by us and by optimum-cli", batch.measure),
    "another": ("one more checkpoint of a configuration already seen", another.measure),
    "many": ("a batch of a hundred", many.measure),
    "latency": ("latency in ONNX Runtime", latency.measure),
    "fused": ("latency of fused graphs in ONNX Runtime", fused.measure),
    "precision": ("size, accuracy drop and latency of each precision", precision.measure),
    "shared": ("bytes that a shared graph adds to a repository", shared.measure),
    "memory": ("peak anonymous memory of converting BERT-base, validation included", memory.rows),
    "demand": ("memory of a worker, beside the prediction of --jobs auto", demand.measure),
    "growth": ("what grows with a batch, beside what bench.scaling takes for it", growth.measure),
    "cluster": ("a small batch on a Ray cluster of this machine", cluster.measure),
    "limits": ("the largest inputs that are read at all", limits.measure),
    "torchscript": ("TorchScript", _torchscript),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure speed, memory and size beside their targets.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; all by default")
    chosen = parser.parse_args().parts or list(PARTS)
    if unknown := [name for name in chosen if name not in PARTS]:
        parser.error(f"unknown part {unknown[0]!r}; known: {', '.join(PARTS)}")
    transformers.utils.logging.disable_progress_bar()
    rows: list[Row] = []
    for name in chosen:
        title, measure = PARTS[name]
        started = time.perf_counter()
        print(f"{name}: {title} (load {os.getloadavg()[0]:.1f})", flush=True)
        rows.extend(measure())
        print(f"  took {time.perf_counter() - started:.0f} s (load {os.getloadavg()[0]:.1f})\n", flush=True)
    if rows:
        print(f"one thread (OMP_NUM_THREADS=1) on both sides; load {os.getloadavg()[0]:.1f}\n")
        print(render(rows))
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
