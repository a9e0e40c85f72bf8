"""`make planted-faults`: plant every fault, or those whose name, kind or base contains a word; and convert right checkpoints.

Prints each result, then the tables. The exit status is 1 if a fault is missed that is not impossible to see, if a witness proves
nothing, or if a good conversion is refused.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import transformers

from tests.planted import good, harness
from tests.planted.bases import Workshop, neuron_double
from tests.planted.fault import Fault
from tests.planted.faults import FAULTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="which faults; all if there is none")
    parser.add_argument("--good", action="store_true", help="convert right checkpoints instead")
    parser.add_argument("--keep", type=Path, help="a folder for the good artifacts, reused by a second run")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers' own lacks types
    with contextlib.ExitStack() as stack:
        folder = chosen.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="planted-")))
        if chosen.good:
            return _convert_good(folder)
        stack.enter_context(neuron_double(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="neuron-")))))
        return _plant(Workshop(folder), [fault for fault in FAULTS if _is_chosen(fault, chosen.words)])


def _is_chosen(fault: Fault, words: Sequence[str]) -> bool:
    return not words or any(word in fault.name or word in fault.kind or word == fault.base for word in words)


def _plant(workshop: Workshop, faults: Sequence[Fault]) -> int:
    started = time.monotonic()
    results = []
    for result in harness.judge_all(workshop, faults):
        results.append(result)
        print(f"[{len(results)}/{len(faults)} {time.monotonic() - started:.0f} s] {result}", flush=True)
    print(f"\n{harness.report(results)}")
    return 0 if all(result.harm.done and (result.caught or result.fault.impossible) for result in results) else 1


def _convert_good(folder: Path) -> int:
    started = time.monotonic()
    conversions = list(good.conversions())
    refused = 0
    for number, conversion in enumerate(conversions, 1):
        problem = good.convert(conversion, folder)
        refused += bool(problem)
        message = f"refused: {problem}" if problem else "converted"
        print(f"[{number}/{len(conversions)} {time.monotonic() - started:.0f} s] {conversion.name}: {message}", flush=True)
    print(f"\n{refused} of {len(conversions)} good conversions are refused.")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
