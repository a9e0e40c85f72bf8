"""`make bench`: prints what was measured beside its target; exit code 1 where a target is missed."""

from __future__ import annotations

import os
import sys

from bench import memory


def main() -> int:
    measured = memory.measure()
    print(f"peak anonymous memory of converting BERT-base, validation included (load {os.getloadavg()[0]:.1f})")
    for name, value in measured.items():
        print(f"  {name:24} {value}")
    met = float(measured["ratio"]) <= memory.TARGET
    print(f"  target: at most {memory.TARGET} times the weights: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
