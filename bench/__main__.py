"""`make bench`: prints what was measured beside its target; exit code 1 where a target is missed."""

from __future__ import annotations

import os
import sys

from bench import memory, torchscript


def main() -> int:
    missed = _bench_memory("default", memory.TARGET)
    _bench_memory("masked-lm", None)  # logits over a vocabulary are its largest outputs: shown, as no target is set for it
    _bench_torchscript()
    return missed


def _bench_torchscript() -> None:
    """Print what has no target."""
    print(f"TorchScript, CPU milliseconds of a call on one thread, side by side (load {os.getloadavg()[0]:.1f})")
    for name, shape, found in torchscript.latencies():
        figures = "  ".join(f"{kind} {value:.2f} ({value / found['eager']:.2f})" for kind, value in found.items())
        print(f"  {name:24} {shape:9} {figures}", flush=True)
    print("TorchScript, MB of an archive")
    for name, stored in torchscript.sizes():
        print(f"  {name:24} {'  '.join(f'{kind} {size / 1e6:.1f}' for kind, size in stored.items())}", flush=True)


def _bench_memory(feature: str, target: float | None) -> int:
    """Print one measurement; 1 where it misses its target."""
    measured = memory.measure(feature)
    print(f"peak anonymous memory of converting BERT-base, {feature}, validation included (load {os.getloadavg()[0]:.1f})")
    for name, value in measured.items():
        print(f"  {name:28} {value}")
    if target is None:
        return 0
    met = measured["ratio"] <= target
    print(f"  target: at most {target} times the weights: {'met' if met else 'MISSED'}", flush=True)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
