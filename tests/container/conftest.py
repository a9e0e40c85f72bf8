"""The image, built once, and a workspace to run it in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.engine import Engine, engine
from tests.container.runner import Runner
from tests.support.checkpoints import MINILM, save_tiny

ROOT = Path(__file__).parents[2]
IMAGE = "converter:test"


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    """The engine, with the image built as IMAGE."""
    with engine() as docker_engine:
        docker_engine.build(ROOT, IMAGE, VERSION="1.2.3", REVISION="0123456789abcdef")
        yield docker_engine


@pytest.fixture
def runner(docker: Engine, tmp_path: Path) -> Runner:
    """A step's surroundings on GitHub, with checkpoints in the workspace: MiniLM with its real weights, and a small random one."""
    checkpoints = tmp_path / "workspace" / "checkpoints"
    shutil.copytree(MINILM, checkpoints / "all-MiniLM-L6-v2")
    save_tiny(checkpoints / "tiny", "bert")
    return Runner(docker, IMAGE, tmp_path)
