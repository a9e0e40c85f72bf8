"""Starts the action as GitHub's runner does, on a container engine: a double for the runner, whose own code cannot be had here.

It reads action.yml: inputs become INPUT_ variables and the declared `env`, the workspace and the command files are mounted under
/github, and the container works as root in the workspace. `act` is the other look, with a workflow's own syntax.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tests.container.engine import Engine
from tests.container.inputs import action

RUNNER = (1001, 127) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
"""The owner and group of the workspace: GitHub's, if these tests can change the owner."""


@dataclass(frozen=True)
class Step:
    """The results of a step of the action."""

    code: int
    log: str
    outputs: dict[str, str]
    summary: str

    @property
    def annotations(self) -> list[str]:
        """The errors, warnings and notices that GitHub would show, as it reads a log: nothing between stop-commands and its end."""
        lines: list[str] = []
        end = None
        for line in self.log.splitlines():
            if end is not None:
                end = None if line == f"::{end}::" else end
            elif line.startswith("::stop-commands::"):
                end = line.removeprefix("::stop-commands::")
            elif re.match("::(error|warning|notice) ", line):
                lines.append(line)
        return lines


@dataclass(frozen=True)
class Runner:
    """Runs steps in one workspace on one engine."""

    engine: Engine
    image: str
    folder: Path

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def uses(self, inputs: dict[str, str], *options: str, read_only: bool = False, **variables: str) -> Step:
        """One step with `uses:` of the action."""
        files = {"GITHUB_OUTPUT": "set_output_1", "GITHUB_STEP_SUMMARY": "step_summary_1"}
        for place in ("workspace", "home", "file_commands"):
            (self.folder / place).mkdir(exist_ok=True)
        for name in files.values():
            (self.folder / "file_commands" / name).write_text("", encoding="utf-8")
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, *RUNNER, follow_symlinks=False)
        spec = action()
        arguments = {**{name: str(properties.get("default", "")) for name, properties in spec["inputs"].items()}, **inputs}
        environment = {
            **{f"INPUT_{name.upper()}": value for name, value in arguments.items()},
            **{name: _evaluate(text, arguments) for name, text in spec["runs"]["env"].items()},
            **{name: f"/github/file_commands/{file}" for name, file in files.items()},
            "GITHUB_ACTIONS": "true",
            "CI": "true",
            "HOME": "/github/home",
            "GITHUB_WORKSPACE": "/github/workspace",
            **variables,
        }
        mounts = [f"{self.workspace}:/github/workspace{':ro' if read_only else ''}"]
        mounts += [f"{self.folder / name}:/github/{name}" for name in ("home", "file_commands")]
        words = ["--workdir", "/github/workspace", *options]
        words += [word for mount in mounts for word in ("--volume", mount)]
        words += [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        result = self.engine.run(self.image, *(_evaluate(text, arguments) for text in spec["runs"]["args"]), options=words)
        read = {variable: (self.folder / "file_commands" / name).read_text(encoding="utf-8") for variable, name in files.items()}
        return Step(result.code, result.err + result.out, _outputs(read["GITHUB_OUTPUT"]), read["GITHUB_STEP_SUMMARY"])


def _evaluate(text: str, inputs: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda match: inputs[match[1]], text)


def _outputs(text: str) -> dict[str, str]:
    """The outputs in a file of GITHUB_OUTPUT, of the form with a delimiter."""
    return {match[1]: match[3] for match in re.finditer(r"^([\w-]+)<<(\S+)\n(.*?)\n\2$", text, re.MULTILINE | re.DOTALL)}
