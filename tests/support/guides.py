"""A guide of docs/, typed in: its commands and its code run in order, in one process."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any


def play(name: str, command: Callable[..., Any], *, but: str = "") -> tuple[list[str], dict[str, Any]]:
    """Run the blocks `sh` and `python` of a guide; return their kinds in order, and the names from the code.

    Every command has to be the converter's and to succeed. Commands of the program `but` are skipped.
    """
    guide = (Path(__file__).parents[2] / "docs" / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    for kind, text in blocks:
        if kind == "python":
            exec(text, names)
            continue
        for line in text.splitlines():
            program, *arguments = shlex.split(line)
            if program != but:
                result = command(*arguments)
                assert (program, result.returncode) == ("converter", 0), result.stderr
    return [kind for kind, _ in blocks], names
