"""A client in a separate process that answers one request per line."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Client:
    """A program that reads `[folder, what, input, precision]` as a line of JSON and answers `{"found": …}` or `{"error": …}` in one."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the client
        self._process = subprocess.Popen(
            command,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )

    def ask(self, folder: str, what: str, content: Any, precision: str = "fp32") -> Any:
        """Its output for an input, with the model in a folder in a precision, by transformers.js's name for it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{json.dumps([folder, what, content, precision])}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._said.seek(0)
            raise AssertionError(self._said.read().decode())
        reply = json.loads(answer)
        assert "error" not in reply, reply["error"]
        return reply["found"]

    def close(self) -> None:
        self._process.communicate(timeout=60)
        self._said.close()
