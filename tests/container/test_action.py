"""action.yml matches the package's options; no linter sees a misspelt name between the two."""

from __future__ import annotations

import re
from typing import Any

import pytest

from converter.cli import cli
from converter.cli.actions import OUTPUTS
from tests.container import inputs


@pytest.fixture(scope="module")
def action() -> dict[str, Any]:
    return inputs.action()


def test_every_input_reaches_the_container_as_one_whole_variable_but_the_command_which_is_its_argument(action: dict[str, Any]) -> None:
    passed = [re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", value) for value in (*action["runs"]["env"].values(), *action["runs"]["args"])]
    assert all(passed)
    assert sorted(match[1] for match in passed if match) == sorted(action["inputs"])
    assert action["runs"]["args"] == ["${{ inputs.command }}"]


def test_an_input_and_the_option_behind_it_have_one_name(action: dict[str, Any]) -> None:
    passed = {name: text for name, text in action["runs"]["env"].items() if name.startswith("CONVERTER_")}
    assert passed == {f"CONVERTER_{name.replace('-', '_').upper()}": f"${{{{ inputs.{name} }}}}" for name in inputs.options()}
    flags = {option.opts[0] for option in inputs.options().values()}
    assert flags == {f"--{name}" for name in inputs.options()}


def test_the_token_is_the_only_variable_that_is_not_an_option(action: dict[str, Any]) -> None:
    assert [name for name in action["runs"]["env"] if not name.startswith("CONVERTER_")] == ["HF_TOKEN"]


def test_defaults_live_in_the_package_alone(action: dict[str, Any]) -> None:
    assert [name for name, spec in action["inputs"].items() if "default" in spec] == ["command"]


def test_what_the_action_says_is_required_is_so_in_the_package(action: dict[str, Any]) -> None:
    required = {name for name, option in inputs.options().items() if option.required and name != "merge"}
    assert {name for name, spec in action["inputs"].items() if spec["required"]} == required


def test_the_action_has_the_outputs_that_the_package_writes(action: dict[str, Any]) -> None:
    assert tuple(action["outputs"]) == OUTPUTS


def test_the_action_starts_a_command_of_the_package_and_leaves_the_entrypoint_to_the_image(action: dict[str, Any]) -> None:
    assert action["inputs"]["command"]["default"] == "run"
    named = set(re.findall(r"`(\w+)`", action["inputs"]["command"]["description"]))
    assert named == {"run", "plan", "report"} <= cli.commands.keys()
    assert "entrypoint" not in action["runs"]


def test_no_description_is_an_expression_which_github_would_evaluate(action: dict[str, Any]) -> None:
    assert not [spec for spec in (*action["inputs"].values(), *action["outputs"].values()) if "${{" in spec["description"]]


def test_the_tables_of_the_reference_are_the_actions() -> None:
    page = (inputs.ROOT / "docs/reference/action.md").read_text(encoding="utf-8")
    assert inputs.with_tables(page) == page, "make action-tables writes them"
