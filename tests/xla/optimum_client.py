"""Loads a compiled folder with a class of the real optimum-neuron, and calls it; started as a file by test_optimum.py.

optimum-neuron imports the SDK at load, so mocks replace it. This shows that its own code reads the folder, pads to the shapes in
config.json, calls the archive by position, and splits its outputs.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import json
import sys
import warnings
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import torch
import torch_xla.core.xla_model  # noqa: F401 - before the mocks, as it looks for the SDK too

_SDK = ("neuronx_distributed", "torch_neuronx", "libneuronxla", "neuronxcc", "nki")
_VERSIONS = {"neuronx-cc": "2.26.6360.0", "torch-neuronx": "2.9.0", "torch_neuronx": "2.9.0"}


class _Mocks(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in _SDK else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module: Any = MagicMock(name=spec.name)
        module.__path__, module.__spec__, module.__name__ = [], spec, spec.name
        return module  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        """A mock needs no state."""


def main(folder: str, name: str, batch: int) -> dict[str, Any]:
    """What optimum-neuron's class gives for some texts of 5 tokens, and those texts."""
    sys.meta_path.insert(0, _Mocks())
    version = importlib.metadata.version
    importlib.metadata.version = lambda package: _VERSIONS.get(package) or version(package)
    utils: Any = importlib.import_module("optimum.neuron.utils.version_utils")  # first: its modules import one another in a circle
    utils.get_neuronxcc_version = lambda: _VERSIONS["neuronx-cc"]
    traced: Any = importlib.import_module("optimum.neuron.modeling_traced")
    traced.NEURON_COMPILER_VERSION = _VERSIONS["neuronx-cc"]
    model = getattr(importlib.import_module("optimum.neuron"), f"NeuronModelFor{name}").from_pretrained(folder)
    torch.manual_seed(1)
    tokens = torch.randint(3, 119, (batch, 4, 5) if name == "MultipleChoice" else (batch, 5))
    inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    if "token_type_ids" in model.config.neuron["input_names"]:
        inputs["token_type_ids"] = torch.zeros_like(tokens)
    outputs = model(**{key: tensor.clone() for key, tensor in inputs.items()})
    return {
        "inputs": {key: tensor.tolist() for key, tensor in inputs.items()},
        "outputs": {key: tensor.tolist() for key, tensor in outputs.items() if tensor is not None},
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout.write(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
