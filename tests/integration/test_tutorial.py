"""docs/tutorial.md, typed in: the conversion of all-MiniLM-L6-v2, and the code that loads the result."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs/tutorial.md"


def test_the_first_conversion_and_its_use_work_as_written(
    minilm: Path, command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sentence-transformers").mkdir()
    (tmp_path / "sentence-transformers/all-MiniLM-L6-v2").symlink_to(minilm)
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8").split("## Convert one checkpoint")[1].split("## Choose the feature")[0]
    blocks = dict(re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S))
    line, log, code = blocks["sh"], blocks[""], blocks["python"]
    result = command(*shlex.split(line)[1:])
    assert result.returncode == 0, result.stderr
    said = result.stdout.replace("\t", " " * 8)
    assert [wanted for wanted in log.splitlines() if wanted.strip() != "…" and wanted not in said.splitlines()] == []
    files = {path.name for path in (tmp_path / "onnx").iterdir()}
    assert {"model.onnx", "converter.json"} <= files
    exec(code, {})
    assert capsys.readouterr().out == "(2, 5, 384)\n"
