"""Shared by the integration tests: jobs on real artifacts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from converter.architectures import find_architecture
from converter.backends import BACKENDS
from converter.cli import main
from converter.core.records import Job, Outcome, Source
from converter.pipeline import run_job
from tests.hub_server import HubClient, HubServer
from tests.support.archive_processes import forked_archives  # noqa: F401 - a fixture for every test here

DOCUMENTED: dict[str, dict[str, Any]] = {"onnx": {"profile": "documented"}}
"""The default options of a test, for each backend."""


@pytest.fixture
def convert(tmp_path: Path) -> Callable[..., Outcome]:
    """Converts a checkpoint's folder in this process, to ONNX by default: `convert(folder, feature="masked-lm")`.

    It takes a graph that another test captured, as the command line does.
    """

    def run(folder: Path, destination: Path | None = None, backend: str = "onnx", **options: Any) -> Outcome:
        return run_job(
            Job(
                source=Source(name=str(folder), folder=folder),
                backend=backend,
                options=BACKENDS[backend].options(**DOCUMENTED.get(backend, {}) | options),
                destination=destination or tmp_path / "artifact",
                cache=Path(os.environ["CONVERTER_CACHE"]),
            )
        )

    return run


@pytest.fixture(scope="session")
def trace(tiny: Callable[..., Path]) -> Callable[[str, str], Outcome]:
    """Traces a tiny checkpoint, once for all tests of a run: `trace("bert", "masked-lm")`. Nobody may change its files."""
    shared = Path(os.environ["CONVERTER_CACHE"]) / "archives"
    shared.mkdir(exist_ok=True)

    def run(model_type: str, feature: str) -> Outcome:
        folder = shared / f"{model_type}-{feature}"
        with FileLock(f"{folder}.lock"):  # other workers want it too
            if not folder.with_suffix(".json").exists():
                job = Job(
                    source=Source(name="tiny", folder=tiny(model_type, find_architecture(model_type).auto_class(feature))),
                    backend="torchscript",
                    options=BACKENDS["torchscript"].options(feature=feature),
                    destination=folder,
                )
                folder.with_suffix(".json").write_text(run_job(job).model_dump_json(), encoding="utf-8")
        return Outcome.model_validate_json(folder.with_suffix(".json").read_bytes())

    return run


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line in this process, which saves the imports: for tests that need no separate one."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments)])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return subprocess.CompletedProcess(arguments, ended.value.code, out, err)

    return run


@pytest.fixture
def converter() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line like a user, in a separate process."""

    def run(*arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "converter", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **more)

    return run


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    """A Hub on loopback, for all tests of a module."""
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def client(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubClient]:
    """Runs commands against that Hub in a separate process: `client("push", folder, "--to", "org/name", token=OWNER_TOKEN)`."""
    with HubClient(hub, tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"this machine lets nobody mount a disk: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
