"""Changes of a model by its forward: `python -m tests.coverage.states [TYPE …]` tries tiny checkpoints and prints a line each.

A checkpoint runs at every size of validation, short and long in turn, once as loaded and once with the changes of earlier calls.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from tests.coverage.rows import Row, all_types, rows_of

_MOST = 90.0  # seconds of a type, its checkpoint made


def state_of(row: Row, folder: Path) -> tuple[list[str], list[str]]:
    """What calls change of a tiny checkpoint, each change in words, and the problem that validation makes of it, if any."""
    import numpy as np

    from converter.architectures import find_architecture
    from converter.architectures.model_config import overridden
    from converter.backends import BACKENDS
    from converter.backends.conversion import Conversion
    from converter.validation.case_inputs import InputGenerator
    from converter.validation.reference import Reference
    from converter.validation.tolerance import default_tolerance
    from converter.validation.validate import state_problems
    from tests.coverage.tiny import save_tiny

    architecture = find_architecture(row.model_type)
    save_tiny(folder, row.model_type, architecture.auto_class(row.feature))
    conversion = Conversion(backend=BACKENDS[row.backend], architecture=architecture, checkpoint=folder, options=row.options())
    model, config = conversion.reference.model, conversion.reference.config
    reference = Reference(model, tuple(config.outputs))
    with overridden(model.config, config.values_override):
        generator = InputGenerator(config, model.dtype, None, np.random.default_rng(0), ())
        inputs = [*generator.grid(), generator.longest_case()]
        for case in inputs:
            reference.run(case.arrays)
        problems = list(state_problems(inputs, generator, reference, default_tolerance(config, model.dtype)))
    return [str(change) for change in reference.changes.values()], problems


def states(rows: Iterator[Row]) -> Iterator[tuple[Row, list[str], list[str]]]:
    """The same for many rows, each in a separate process; the error of a failed one is its only change."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["converter.executors.preload"])
    for row in rows:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_tell, args=(theirs, row))
        process.start()
        theirs.close()
        try:
            changes, problems = ours.recv() if ours.poll(_MOST) else (["not tried: it takes too long"], [])
        except EOFError:
            changes, problems = ["not tried: its process ended"], []
        process.kill()
        process.join()
        yield row, changes, problems


def _tell(to: Connection, row: Row) -> None:
    from converter.core.reason import reason

    with tempfile.TemporaryDirectory() as folder:
        try:
            to.send(state_of(row, Path(folder) / "checkpoint"))
        except Exception as error:  # transformers may raise anything over a tiny configuration
            to.send(([f"not tried: {reason(error)}"], []))


if __name__ == "__main__":
    chosen = sys.argv[1:] or all_types()
    without_cache = {
        row.model_type: row for row in reversed([*rows_of(chosen)]) if row.backend == "onnx" and "-with-past" not in row.feature
    }
    for tried, changes, problems in states(without_cache[model_type] for model_type in chosen if model_type in without_cache):
        line = "\t".join([tried.model_type, tried.feature, "changes" if problems else "", "; ".join([*changes[:4], *problems])])
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
