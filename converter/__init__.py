"""Hugging Face checkpoints in, validated ONNX, TorchScript and Neuron models out.

Everything in `__all__` is stable by semantic versioning: a change that breaks a caller comes with a new major version, after a minor
version that warns. The same holds for the flags of the command line and the keys of converter.json and report.json. All other names
may change in any version.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converter.api import convert, plan, push, run, validate
    from converter.core.errors import (
        AccessError,
        CheckpointError,
        ConversionError,
        ConverterError,
        ManifestError,
        NotSupportedError,
        OutputError,
        PushError,
        UsageError,
        ValidationError,
    )
    from converter.core.records import Outcome, PlannedJob, Pushed, Variant, Verdict
    from converter.report import Report

__version__ = "0.1.0"

__all__ = [
    "AccessError",
    "CheckpointError",
    "ConversionError",
    "ConverterError",
    "ManifestError",
    "NotSupportedError",
    "Outcome",
    "OutputError",
    "PlannedJob",
    "PushError",
    "Pushed",
    "Report",
    "UsageError",
    "ValidationError",
    "Variant",
    "Verdict",
    "convert",
    "plan",
    "push",
    "run",
    "validate",
]

_MODULES = ("converter.api", "converter.core.errors", "converter.core.records", "converter.report")


def __getattr__(name: str) -> Any:
    """The public names, imported on first use: `import converter` alone costs nothing."""
    if name in __all__:
        for module in map(import_module, _MODULES):
            if name in vars(module):
                return vars(module)[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
