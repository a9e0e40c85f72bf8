"""Workflows that use the action, run by act, with the image that was built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.container.conftest import IMAGE, ROOT
from tests.container.engine import Engine
from tests.support.checkpoints import save_tiny

pytestmark = pytest.mark.container

ACT = Path(sys.executable).with_name("act")
Act = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def act(docker: Engine, tmp_path: Path) -> Act:
    """Runs act in a copy of the repository, whose Dockerfile begins and ends with the image that its own has built."""
    copy = tmp_path / "repository"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, listed):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    (copy / "Dockerfile").write_text(f"FROM {docker.image(IMAGE)}\n", encoding="utf-8")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
        for command in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "--quiet", "--message", "A copy"]):
            subprocess.run(["git", *command], cwd=copy, check=True)
        options = ["--rm", "--pull=false", "--container-daemon-socket=-", f"--platform=ubuntu-24.04={docker.base}"]
        return subprocess.run(
            [str(ACT), "push", *options, *arguments],
            cwd=copy,
            env={**os.environ, **docker.environment, "XDG_CACHE_HOME": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return run


def test_the_workflow_of_this_repository_converts_real_weights_with_the_action(act: Act) -> None:
    done = act("--workflows", ".github/workflows/ci.yml", "--job", "action")
    assert done.returncode == 0, done.stdout[-6000:]
    assert "✓ ./checkpoints/all-MiniLM-L6-v2 → onnx: 90.3 MB in out/all-MiniLM-L6-v2/onnx" in done.stdout
    assert "Success - Main The outputs are what was done" in done.stdout


@pytest.fixture
def models(tmp_path: Path) -> None:
    """A manifest in the copy, of which the third line fails."""
    save_tiny(tmp_path / "repository" / "checkpoints" / "tiny", "bert")
    lines = "./checkpoints/tiny\n./checkpoints/tiny output=again\n./checkpoints/missing\n"
    (tmp_path / "repository" / "models.txt").write_text(lines, encoding="utf-8")


def test_a_matrix_converts_every_line_but_the_one_that_fails(act: Act, models: None) -> None:
    done = act("--workflows", "tests/container/workflow.yml", "--job", "convert")
    assert done.returncode == 0, done.stdout[-6000:]
    counts = sorted(re.findall(r"\|.*lines (\S+) (\w+), (\d) converted, (\d) failed", done.stdout))
    assert counts == [("1,3", "failure", "1", "1"), ("2", "success", "1", "0")]


def test_a_failing_manifest_fails_the_job_with_an_error_at_its_line(act: Act, models: None) -> None:
    done = act("--workflows", "tests/container/workflow.yml", "--job", "fails")
    assert done.returncode == 1
    assert re.search(r"::error file=models\.txt,line=3,col=1,title=\./checkpoints/missing to onnx::no folder ", done.stdout)
