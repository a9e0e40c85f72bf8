"""A checkpoint loaded for a backend: in the form that it converts, and as the reference that its artifact is held against."""

from __future__ import annotations

from pathlib import Path

from converter.architectures import Architecture, OnnxConfig
from converter.backends.base import Backend
from converter.checkpoints.loading import LoadedModel, load_model
from converter.core.records import Options


def load_for_conversion(folder: Path, architecture: Architecture, backend: Backend, options: Options) -> tuple[LoadedModel, OnnxConfig]:
    """Load the checkpoint in the form that `backend` converts, and give the configuration that it is converted with."""
    return _load(folder, architecture, backend, options, backend.attn_implementation(architecture.onnx_config))


def load_reference(folder: Path, architecture: Architecture, backend: Backend, options: Options) -> tuple[LoadedModel, OnnxConfig]:
    """Load the checkpoint as a user of transformers does, and give the configuration that it is measured with."""
    return _load(folder, architecture, backend, options, None)


def _load(
    folder: Path, architecture: Architecture, backend: Backend, options: Options, attn_implementation: str | None
) -> tuple[LoadedModel, OnnxConfig]:
    assert options.feature
    model = load_model(folder, architecture.auto_class(options.feature), options.loads_as, attn_implementation, options.allowed)
    return model, backend.configure(architecture, model, options)
