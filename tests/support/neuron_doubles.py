"""Doubles instead of the Neuron SDKs, which are not available: see `tests/doubles`. They only prove the shape of a call."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converter.backends.neuron import sdk

FOLDER = Path(__file__).parents[1] / "doubles"

Calls = Callable[[], list[dict[str, Any]]]


class Doubles:
    """Puts a double into the path of this process and its children; `install(name)` returns a reader of its calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._folder = folder
        self._calls = folder / "calls.jsonl"
        self._path = list(sys.path)
        monkeypatch.setenv("NEURON_DOUBLE_CALLS", str(self._calls))
        monkeypatch.delenv("NEURON_PLATFORM_TARGET_OVERRIDE", raising=False)
        self.device(False)

    def device(self, there: bool) -> None:
        """Whether a device seems to be there; a file by its name is a double of it too."""
        devices = self._folder / ("dev" if there else "no-dev")
        devices.mkdir(exist_ok=True)
        if there:
            (devices / "neuron0").touch()
        self._monkeypatch.setattr(sdk, "DEVICES", devices)

    def runs(self, there: bool) -> None:
        """Whether newly compiled archives run."""
        self._monkeypatch.setenv("NEURON_DOUBLE_RUNS", str(int(there)))

    def install(self, name: str | None) -> Calls:
        """The double in `tests/doubles` of this name, or none, in place of the one before."""
        for module in ("torch_neuron", "torch_neuronx", "neuron_double"):
            self._monkeypatch.delitem(sys.modules, module, raising=False)
        entries = [str(FOLDER), str(FOLDER / name)] if name else []
        self._monkeypatch.setattr(sys, "path", [*entries, *self._path])
        self._monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entries))
        importlib.invalidate_caches()
        self._calls.unlink(missing_ok=True)

        def calls() -> list[dict[str, Any]]:
            return [json.loads(line) for line in self._calls.read_text().splitlines()] if self._calls.exists() else []

        return calls
