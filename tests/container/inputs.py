"""The tables in docs/reference/action.md, made from action.yml and the options behind its inputs.

`python -m tests.container.inputs` writes them; a test finds them out of date.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from converter.cli import cli
from converter.cli.actions import input_of

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- action: begin -->", "<!-- action: end -->"


def action() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    return loaded


def options() -> dict[str, click.Parameter]:
    """The option behind each input that is one."""
    return {input_of(parameter): parameter for command in cli.commands.values() for parameter in command.params if input_of(parameter)}


def tables() -> str:
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    spec = action()
    yield from ("| input | | by default |", "|---|---|---|")
    for name, value in spec["inputs"].items():
        option = options().get(name)
        default = option.default if option is not None and isinstance(option.default, str | int | Path) else None
        shown = value.get("default", "" if default is None or isinstance(default, bool) else default)
        yield f"| `{name}` | {value['description']} | {f'`{shown}`' if shown != '' else 'required' if value['required'] else ''} |"
    yield from ("", "| output | |", "|---|---|")
    yield from (f"| `{name}` | {value['description']} |" for name, value in spec["outputs"].items())


def with_tables(page: str) -> str:
    """The page with the tables between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    path = ROOT / "docs/reference/action.md"
    path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
