"""Runs the command line like the console script, in this process or in a separate one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from converter.cli import main


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def converter(capsys: pytest.CaptureFixture[str]) -> Run:
    """`converter("plan", "--manifest", path)`, in this process."""

    def run(*args: str | Path) -> Result:
        with pytest.raises(SystemExit) as caught:
            main([str(arg) for arg in args])
        captured = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Result(caught.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """`python("-m", "converter", "--help")`, in a separate process in an empty folder."""

    def run(*args: str | Path) -> Result:
        done = subprocess.run([sys.executable, *map(str, args)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        return Result(done.returncode, done.stdout, done.stderr)

    return run
