"""What root leaves in a user's workspace, as the action's container does on a self-hosted runner: the user can delete all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import HubServer
from tests.integration.test_local_executor import heed_interruptions
from tests.support.checkpoints import save_tiny

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can work in another user's folder")

USER = 1001


@pytest.fixture
def workspace() -> Iterator[Path]:
    """A user's repository, in a folder that the user reaches, with a checkpoint that is not tracked."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        workspace = Path(folder, "workspace")
        save_tiny(workspace / "tiny", "bert")
        (workspace / "models.txt").write_text("./tiny\norg/tiny output=of-the-hub\n./missing\n", encoding="utf-8")
        for path in (workspace, *workspace.rglob("*")):
            os.chown(path, USER, USER)
        git(workspace, "init", "--quiet")
        yield workspace


def git(workspace: Path, *arguments: str) -> None:
    variables = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *arguments],
        cwd=workspace,
        user=USER,
        group=USER,
        extra_groups=[],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def assert_the_user_can_clean(workspace: Path) -> None:
    others = [path.relative_to(workspace) for path in workspace.rglob("*") if path.lstat().st_uid != USER]
    assert others == []
    git(workspace, "clean", "-ffdx", "--quiet")
    assert [path.name for path in workspace.iterdir()] == [".git"]


def start(workspace: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Run the command as root in the workspace. No bytecode, as in the image."""
    return subprocess.Popen(
        [sys.executable, "-m", "converter", *arguments],
        cwd=workspace,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interruptions,
    )


@pytest.mark.parametrize("separate", [False, True], ids=["HF_HOME", "separate caches"])
def test_a_batch_with_its_caches_in_the_workspace(hub: HubServer, workspace: Path, separate: bool) -> None:
    hub.add_repository("org/tiny", {path.name: path for path in (workspace / "tiny").iterdir()})
    variables = hub.environment(workspace / ".hf")
    if separate:
        folders = {"HF_HOME": "home", "HF_HUB_CACHE": "hub", "HF_XET_CACHE": "xet", "HF_MODULES_CACHE": "modules"}
        variables |= {name: str(workspace / "caches" / folder) for name, folder in folders.items()}
    process = start(workspace, "--manifest", "models.txt", "--output", "build/out", "--cache", ".cache/graphs", **variables)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 1 and "2 converted, 0 unchanged, 1 failed" in output, output + errors
    assert [*(workspace / ".cache").rglob("*.onnx.gz")]
    assert [*(workspace / ("caches/hub" if separate else ".hf/hub")).rglob("model.safetensors")]
    assert_the_user_can_clean(workspace)


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_a_batch_that_is_interrupted(workspace: Path, executor: str) -> None:
    process = start(workspace, "--manifest", "models.txt", "--cache", "graphs", "--executor", executor, HF_HUB_OFFLINE="1", HF_HOME="hf")
    assert process.stderr
    for line in process.stderr:
        if line.endswith(": convert\n"):
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert_the_user_can_clean(workspace)


def test_single_commands(workspace: Path) -> None:
    """One whose artifact is rejected and kept, with its steps, and others after it."""
    rejecting = ("onnx", "--model=./tiny", "--atol=1e-30", "--keep-rejected", "--keep-intermediate=steps/one", "--cache=graphs", "a/b/onnx")
    commands = {
        rejecting: 1,
        ("onnx", "--model=./tiny", "--cache=graphs", "c/onnx"): 0,
        ("validate", "c/onnx", "--reference=./tiny"): 0,
        ("plan", "--manifest=models.txt"): 1,
        ("cache", "warm", "./tiny", "--cache=warm/graphs"): 0,
    }
    (workspace / "tmp").mkdir()
    os.chown(workspace / "tmp", USER, USER)
    for arguments, code in commands.items():
        process = start(workspace, *arguments, HF_HUB_OFFLINE="1", HF_HOME="hf", TMPDIR=str(workspace / "tmp"))
        output, errors = process.communicate(timeout=300)
        assert process.returncode == code, output + errors
    made = ["a/b/.rejected/onnx/model.onnx", "steps/one", "c/onnx/converter.json", "warm/graphs"]
    assert [name for name in made if not (workspace / name).exists()] == []
    assert_the_user_can_clean(workspace)
