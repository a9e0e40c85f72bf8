"""The result of each row as data: a file for each version of transformers, from which the table is written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.version import Version

from converter.architectures.auto import transformers_version
from converter.core.records import Outcome
from tests.coverage.rows import Row

FOLDER = Path(__file__).parent / "results"
_LONGEST = 240  # characters of a reason
_OF_THIS_RUN = re.compile(r"(/[\w.@:+-]+){2,}/?")  # a path or an address


@dataclass(frozen=True)
class Result:
    """Whether a row passed, the largest error that validation saw, and else the reason; CPU seconds."""

    row: Row
    passed: bool
    error: float | None = None
    reason: str = ""
    seconds: float = 0.0

    @classmethod
    def of(cls, row: Row, outcome: Outcome) -> Result:
        """The result of a row from an outcome of the pipeline."""
        seconds = round(sum(stage.cpu_seconds for stage in outcome.stages), 1)
        error = outcome.verdict.max_abs_error if outcome.verdict else None
        reason = brief(outcome.failure.message) if outcome.failure else ""
        return cls(row, outcome.status in ("converted", "skipped"), error, reason, seconds)


def brief(message: str) -> str:
    """A reason as it stands in the table: one line, without the paths of one machine."""
    plain = " ".join(_OF_THIS_RUN.sub("…", message).split())
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}…"


def path_of(version: str | None = None) -> Path:
    """The file of a version of transformers, the installed one by default."""
    return FOLDER / f"transformers-{version or transformers_version()}.json"


def kept() -> dict[str, Path]:
    """The files there are by their version of transformers, the latest last."""
    paths = {path.stem.removeprefix("transformers-"): path for path in FOLDER.glob("*.json")}
    return {version: paths[version] for version in sorted(paths, key=Version)}


def latest() -> dict[Row, Result]:
    """The results of the latest version that all rows were tried with: of the installed one, or of one before it."""
    return read(list(kept().values())[-1])


def read(path: Path) -> dict[Row, Result]:
    """The results in a file, by row; empty without the file."""
    if not path.exists():
        return {}
    entries = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("{"))
    results = (Result(Row(**entry["row"]), *(entry[name] for name in ("passed", "error", "reason", "seconds"))) for entry in entries)
    return {result.row: result for result in results}


def write(path: Path, results: Mapping[Row, Result] | Iterable[Result]) -> None:
    """Write results, a line each and in the order of their rows, so that a change of one is a change of a line."""
    values = results.values() if isinstance(results, Mapping) else results
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(asdict(result)) for result in sorted(values, key=lambda item: item.row)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
