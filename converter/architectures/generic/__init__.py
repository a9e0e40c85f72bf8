"""Any model type with an auto class, configured by inspecting the model.

tables of auto classes → features; forward's parameters and settings → inputs; a run without weights → outputs and the cache

It is used for types without a family's file; such a file may derive from it and contain the differences only.
"""

from __future__ import annotations

from functools import cache

from converter.architectures.architecture import Architecture
from converter.architectures.auto import auto_models
from converter.architectures.features import TASKS, WITH_PAST
from converter.architectures.generic.config import GenericOnnxConfig

__all__ = ["GenericOnnxConfig", "generic_architecture", "generic_features"]


_CACHED = ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM", "AutoModelForSpeechSeq2Seq", "AutoModelForImageTextToText")
"""The classes whose models generate. A plain model's cache is of no use without its head."""


@cache
def generic_features(model_type: str) -> tuple[str, ...]:
    """The features that transformers has heads for in a model type, with caches if possible; empty for an unknown type."""
    classes = {
        task: next((auto_class for auto_class in feature.auto_classes if model_type in auto_models()[auto_class]), None)
        for task, feature in TASKS.items()
    }
    return tuple(
        name
        for task, auto_class in classes.items()
        if auto_class
        for name in ((task, f"{task}{WITH_PAST}") if auto_class in _CACHED else (task,))
    )


@cache
def generic_architecture(model_type: str, is_embedder: bool = False) -> Architecture | None:
    """The architecture of a model type that nobody has described; None for one that no auto class has, unless it `is_embedder`."""
    features = generic_features(model_type) or (("default",) if is_embedder else ())
    note = f"{model_type} has no dedicated configuration; its inputs and outputs were inferred from the model"
    return (
        Architecture(name=model_type, model_type=model_type, features=features, onnx_config=GenericOnnxConfig, note=note)
        if features
        else None
    )
