"""`make coverage-table`: try all model types, or the named ones, and write docs/reference/model-types.md.

Earlier results are kept, so that an interrupted run continues; `--again` repeats them. A feature without cache is tried on ONNX if the
one with cache fails.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.coverage import results, table
from tests.coverage.rows import Row, all_types, rows_of
from tests.coverage.survey import survey


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.coverage", description=__doc__)
    parser.add_argument("model_types", nargs="*", metavar="MODEL_TYPE")
    parser.add_argument("--again", choices=("nothing", "failed", "all"), default="nothing", help="Which earlier results are repeated.")
    parser.add_argument("--jobs", type=int, help="How many conversions run at the same time.")
    chosen = parser.parse_args()
    rows = list(rows_of(chosen.model_types or all_types()))
    outcomes = results.read(results.path_of())
    if not chosen.model_types:
        outcomes = {row: result for row, result in outcomes.items() if row in set(rows)}
    due = [row for row in rows if again(row, outcomes, chosen.again)]
    _try([row for row in due if row.with_past not in rows], outcomes, chosen.jobs)
    _try([row for row in due if row.with_past in rows and not outcomes[row.with_past].passed], outcomes, chosen.jobs)
    table.write()


def again(row: Row, outcomes: Mapping[Row, results.Result], which: str) -> bool:
    """Whether a row is tried, of which something may have been found before."""
    return which == "all" or row not in outcomes or (which == "failed" and not outcomes[row].passed)


def _try(rows: list[Row], outcomes: dict[Row, results.Result], jobs: int | None) -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="coverage-") as folder:
        for number, result in enumerate(survey(rows, Path(folder), jobs), 1):
            outcomes[result.row] = result
            results.write(results.path_of(), outcomes)
            message = f"{result.error:.1e}" if result.passed and result.error is not None else result.reason
            name = f"{result.row.model_type} {result.row.feature} {result.row.backend}"
            print(
                f"[{number}/{len(rows)} {time.monotonic() - started:.0f} s] {'✓' if result.passed else '×'} {name}: {message}", flush=True
            )


if __name__ == "__main__":
    main()
