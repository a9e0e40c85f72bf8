"""Processes that tests look at, and end."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def below(process: int) -> list[int]:
    """The running children of a process, and their children."""
    processes: list[int] = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # it has ended
            for child in map(int, path.read_text(encoding="ascii").split()):
                processes += [child, *below(child)]
    return processes
