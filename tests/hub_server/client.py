"""A process that runs the command line again and again, as its huggingface_hub, which reads its variables at import, knows one Hub."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.hub_server.server import HubServer

# Runs each line's arguments with its variables; prints the exit code, the output, and the requested pauses.
_PROGRAM = """
import contextlib, io, json, os, sys, time
from converter.cli import main

slept = []
time.sleep = slept.append
answers = os.dup(1)
for line in sys.stdin:
    arguments, variables, folder = json.loads(line)
    os.chdir(folder)
    os.environ.update(variables)
    slept.clear()
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as ended:
            code = ended.code
    said = (stream.buffer.getvalue().decode() for stream in (out, err))
    os.write(answers, json.dumps([code, *said, slept]).encode() + b"\\n")
"""


@dataclass(frozen=True)
class Said:
    """How a command ended: its exit code, both streams, and the seconds that it would have slept, one for each pause."""

    code: int
    out: str
    err: str
    slept: list[float]


class HubClient:
    """Runs commands of the converter against a `HubServer`, as a context manager. It does not sleep between its attempts."""

    def __init__(self, hub: HubServer, home: Path, **variables: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            env=hub.environment(home) | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)

    def __call__(self, *arguments: object, expect: int | None = 0, token: str = "", folder: Path | None = None, **variables: str) -> Said:
        """Run one command, in the working folder or another; it has to end with the exit code `expect`."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([[*map(str, arguments)], {"HF_TOKEN": token, **variables}, str(folder or Path.cwd())]) + "\n")
        self._process.stdin.flush()
        said = Said(*json.loads(self._process.stdout.readline()))
        assert expect in (None, said.code), said.out + said.err
        return said
