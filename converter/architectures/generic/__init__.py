"""Any model type that transformers has an auto class for, described by what its own model says of itself.

    tables of auto classes → features; forward's parameters, the model's settings → inputs; a run without weights → outputs, the cache

It is used where no file of the family is there, and a family's file may derive from it and say only what differs.
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
    """What transformers has heads of a model type for, with a cache where there may be one; empty for a type that it does not know."""
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
    note = f"nobody has described {model_type}: what it takes and gives was found out from the model itself"
    return (
        Architecture(name=model_type, model_type=model_type, features=features, onnx_config=GenericOnnxConfig, note=note)
        if features
        else None
    )
