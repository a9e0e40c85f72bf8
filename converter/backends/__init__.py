"""The backends by name. Each is one module or package that knows nothing of the others."""

from __future__ import annotations

from collections.abc import Mapping

from converter.backends.base import Backend
from converter.backends.neuron import NeuronBackend
from converter.backends.onnx import OnnxBackend
from converter.backends.torchscript import TorchScriptBackend

BACKENDS: Mapping[str, Backend] = {backend.name: backend for backend in (OnnxBackend(), TorchScriptBackend(), NeuronBackend())}

__all__ = ["BACKENDS", "Backend"]
