"""Every command line in the docs is one that the command line takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from converter.cli import cli

ROOT = Path(__file__).parents[3]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "examples").rglob("*.md")])
EXISTING = (
    "models.txt",
    "out/org/name/onnx/model.onnx",
    "out/onnx/model.onnx",
    "onnx/model.onnx",
    "neuron/model.neuron",
    "parts/report.json",
)


def commands() -> list[tuple[str, list[str]]]:
    """The arguments of each `converter …` and `docker run … converter …` in a block of a page, with the page's name."""
    lines = []
    for page in PAGES:
        for block in re.findall(r"^```(?:sh|console)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                image = next((word for word in words if word in ("converter", "converter-neuron")), "")
                if image and words[0] in ("converter", "docker") and words[1] != "build":
                    lines.append((page.name, words[words.index(image) + 1 :]))
    return lines


@pytest.mark.parametrize(("page", "arguments"), commands(), ids=lambda value: value if isinstance(value, str) else " ".join(value))
def test_a_command_in_the_docs_parses(page: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EXISTING:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    with click.Context(cli, info_name="converter") as context:
        command: click.Command = cli
        rest = arguments if not arguments[0].startswith("-") else ["run", *arguments]
        while isinstance(command, click.Group):
            _, inner, rest = command.resolve_command(context, rest)
            assert inner is not None
            command = inner
        command.make_context("converter", rest, parent=context)


def test_the_docs_have_commands() -> None:
    assert len(commands()) > 30
