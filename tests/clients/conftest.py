"""The models of `models.py`, converted once for all clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.models import convert_all


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a batch, with a model of each kind."""
    return convert_all(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="session")
def checkpoints(models: Path) -> Path:
    """The folder of their checkpoints."""
    return models.parent / "checkpoints"
