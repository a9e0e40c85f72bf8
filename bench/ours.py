"""Our side: one call of `converter run` for a whole manifest, as a user makes it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.models import Model
from bench.processes import Cost, run


@dataclass(frozen=True)
class Entry:
    """A line of a manifest."""

    model: Model
    checkpoint: Path
    settings: str = ""

    @property
    def line(self) -> str:
        tolerance = f"atol={self.model.atol:g}" if self.model.atol is not None else ""
        return f'"{self.checkpoint}" feature={self.model.feature} profile=documented {tolerance} {self.settings}'


@dataclass(frozen=True)
class Batch:
    """A manifest's entries, the folder that all of it lies in, and the folder that captured graphs are kept in."""

    entries: Sequence[Entry]
    place: Path
    graphs: Path

    def artifact(self, index: int) -> Path:
        """The folder of an entry's artifact."""
        return self.place / "out" / self.entries[index].checkpoint.name / "onnx"

    def run(self, *flags: str, watch: Callable[[int], None] | None = None, status: str = "converted") -> Cost:
        """Convert it. Raises RuntimeError unless every outcome has the `status`."""
        self.place.mkdir(parents=True, exist_ok=True)
        manifest = self.place / "models.txt"
        manifest.write_text("".join(f"{entry.line}\n" for entry in self.entries), encoding="utf-8")
        command: list[str | Path] = [sys.executable, "-m", "converter", "run", "--manifest", manifest, "--output", self.place / "out"]
        cost = run([*command, "--cache", self.graphs, *flags], watch)
        others = {outcome["model"]: outcome for outcome in self._outcomes() if outcome["status"] != status}
        if others:
            raise RuntimeError(f"not {status}: {json.dumps(others, indent=2)[:4000]}")
        return cost

    def stage_seconds(self) -> list[float]:
        """The CPU seconds of all stages of each entry, as the batch itself tells them."""
        return [sum(float(stage["cpu_seconds"]) for stage in outcome["stages"]) for outcome in self._outcomes()]

    def _outcomes(self) -> list[dict[str, Any]]:
        outcomes: list[dict[str, Any]] = json.loads((self.place / "out" / "report.json").read_bytes())["outcomes"]
        return outcomes
