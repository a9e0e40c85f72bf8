"""Try thousands of broken inputs on every reader: `python -m tests.fuzz [--inputs N] [--seed S] [TARGET …]`.

Failing inputs are saved under build/fuzz, and repeated with `--again FILE`. Exit code 1 after any failure.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz.running import Result, again, fuzz, outside
from tests.fuzz.targets import TARGETS


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(target.name for target in TARGETS))
    parser.add_argument("--inputs", type=int, default=10_000, help="how many broken inputs each target is given")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same inputs")
    parser.add_argument("--again", type=Path, help="try a file that was kept")
    asked = parser.parse_args(arguments)
    if asked.again:
        problem = again(asked.again)
        print(problem or "nothing is wrong")
        return 1 if problem else 0
    failed = False
    print(f"{'target':16} {'inputs':>8} {'CPU s':>7} {'slowest s':>9} {'peak MB':>8}  wrong")
    if not asked.targets:  # first, as the system tells the peak of all children so far
        failed |= _tell(outside(max(2, asked.inputs // 250), asked.seed))
    for target in TARGETS:
        if not asked.targets or target.name in asked.targets:
            failed |= _tell(fuzz(target, asked.inputs, asked.seed))
    return 1 if failed else 0


def _tell(result: Result) -> bool:
    print(
        f"{result.target:16} {result.tried:8,} {result.cpu_seconds:7.1f} {result.slowest:9.2f} {result.peak_bytes / 1e6:8.0f}"
        f"  {len(result.wrong)}",
        flush=True,
    )
    for path, problem in result.wrong.items():
        print(f"    {path}: {problem}", flush=True)
    return bool(result.wrong)


if __name__ == "__main__":
    sys.exit(main())
