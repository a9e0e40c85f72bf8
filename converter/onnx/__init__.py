"""The documented names of `transformers.onnx`; the pipeline uses them too.

The dedicated configurations have their documented names, such as `DistilBertOnnxConfig`. `export` and `validate_model_outputs` import
torch, so they are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from converter.architectures import (
    Architecture,
    GenericOnnxConfig,
    OnnxConfig,
    OnnxConfigWithPast,
    OnnxSeq2SeqConfigWithPast,
    find_architecture,
    ready_made,
)
from converter.onnx.features import FeaturesManager

if TYPE_CHECKING:
    from converter.onnx.convert import export, validate_model_outputs

__all__ = [
    "Architecture",
    "FeaturesManager",
    "GenericOnnxConfig",
    "OnnxConfig",
    "OnnxConfigWithPast",
    "OnnxSeq2SeqConfigWithPast",
    "export",
    "validate_model_outputs",
]


def __getattr__(name: str) -> Any:
    if name in ("export", "validate_model_outputs"):
        from converter.onnx import convert

        return getattr(convert, name)
    if name.endswith("OnnxConfig"):
        for model_type in ready_made():
            if find_architecture(model_type).onnx_config.__name__ == name:
                return find_architecture(model_type).onnx_config
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
