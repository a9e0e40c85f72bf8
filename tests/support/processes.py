"""Processes that tests look at, and end."""

from __future__ import annotations

import subprocess
import sys
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


_HOLD = """
import sys
from pathlib import Path
from converter.core.locks import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """Start a process that has the lock on `path`, until its standard input ends."""
    process = subprocess.Popen([sys.executable, "-c", _HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    return process
