"""Every command line in the docs is one that the command line takes."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from converter.cli import cli
from tests.support.docs import ShownCommand, shown_commands

EXISTING = (
    "models.txt",
    "out/org/name/onnx/model.onnx",
    "out/onnx/model.onnx",
    "onnx/model.onnx",
    "neuron/model.neuron",
    "parts/report.json",
)


@pytest.mark.parametrize("shown", shown_commands(), ids=str)
def test_a_command_in_the_docs_parses(shown: ShownCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EXISTING:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    with click.Context(cli, info_name="converter") as context:
        command: click.Command = cli
        rest = [*shown.arguments] if not shown.arguments[0].startswith("-") else ["run", *shown.arguments]
        while isinstance(command, click.Group):
            _, inner, rest = command.resolve_command(context, rest)
            assert inner is not None
            command = inner
        command.make_context("converter", rest, parent=context)


def test_the_docs_have_commands() -> None:
    assert len(shown_commands()) > 30
