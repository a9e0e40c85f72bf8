"""The commands that the pages show."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "examples").rglob("*.md")])


@dataclass(frozen=True)
class ShownCommand:
    """A `converter …` or `docker run … converter …` on a page, with its arguments behind the program or the image."""

    page: Path
    arguments: tuple[str, ...]
    in_docker: bool

    def __str__(self) -> str:
        return f"{self.page.name}: converter {' '.join(self.arguments)}"


def shown_commands() -> list[ShownCommand]:
    """All of them, in the order of the pages."""
    commands = []
    for page in PAGES:
        for block in re.findall(r"^```(?:sh|console)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                image = next((word for word in words if word in ("converter", "converter-neuron")), "")
                if image and words[0] in ("converter", "docker") and words[1] != "build":
                    commands.append(ShownCommand(page, tuple(words[words.index(image) + 1 :]), words[0] == "docker"))
    return commands
