"""Paths that no record could hold are refused before anything is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("arguments", [["--manifest", "models.txt", "--output", "?"], ["--manifest", "?"], ["onnx", "--model=./x", "?"]])
def test_a_path_that_is_not_utf8_is_refused_in_a_sentence(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "models.txt").write_text("./nothing\n", encoding="utf-8")
    words = [b"out\xff" if argument == "?" else os.fsencode(argument) for argument in arguments]
    command = [os.fsencode(sys.executable), b"-m", b"converter", *words]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert result.returncode == 2
    assert b"is not UTF-8 text" in result.stderr and b"Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["models.txt"]
