"""What action.yml promises is what the package reads and writes; no linter sees a name misspelt between the two."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from converter.cli import cli
from converter.cli.actions import OUTPUTS

ACTION = Path(__file__).parents[2] / "action.yml"


@pytest.fixture(scope="module")
def action() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(ACTION.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def variables_of_run() -> set[str]:
    run = cli.get_command(click.Context(cli), "run")
    assert run is not None
    names: set[str] = set()
    for option in run.params:
        names.update([option.envvar] if isinstance(option.envvar, str) else option.envvar or ())
    return names


def test_every_input_reaches_the_container_as_one_whole_variable(action: dict[str, Any]) -> None:
    passed = [re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", value) for value in action["runs"]["env"].values()]
    assert all(passed)
    assert sorted(match[1] for match in passed if match) == sorted(action["inputs"])


def test_every_variable_of_the_action_is_read_by_an_option_of_run(action: dict[str, Any], variables_of_run: set[str]) -> None:
    passed = {name for name in action["runs"]["env"] if name.startswith("CONVERTER_")}
    assert passed
    assert passed <= variables_of_run


def test_the_token_is_the_only_variable_that_is_not_an_option(action: dict[str, Any]) -> None:
    assert [name for name in action["runs"]["env"] if not name.startswith("CONVERTER_")] == ["HF_TOKEN"]


def test_defaults_live_in_the_package_alone(action: dict[str, Any]) -> None:
    assert [name for name, spec in action["inputs"].items() if "default" in spec] == []


def test_the_action_has_the_outputs_that_the_package_writes(action: dict[str, Any]) -> None:
    assert tuple(action["outputs"]) == OUTPUTS


def test_the_action_starts_run_and_leaves_the_entrypoint_to_the_image(action: dict[str, Any]) -> None:
    assert action["runs"]["args"] == ["run"]
    assert "entrypoint" not in action["runs"]
