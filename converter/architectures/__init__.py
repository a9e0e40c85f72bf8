"""The families of models, one file each in `families`; `generic` for all others.

An installed package adds one by an entry point of the group `converter.architectures`: the name is the model type, the object an
`Architecture`. `custom_architecture` makes one of a custom `OnnxConfig`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from converter.architectures import families
from converter.architectures.architecture import Architecture
from converter.architectures.auto import LEFT, is_later, known_types, transformers_version
from converter.architectures.config import OnnxConfig
from converter.architectures.config_with_past import OnnxConfigWithPast
from converter.architectures.custom import custom_architecture, custom_code_error
from converter.architectures.embedders import as_embedder, find_embedder
from converter.architectures.features import FEATURES, Feature, canonical, feature_of_class
from converter.architectures.generic import GenericOnnxConfig, generic_architecture
from converter.architectures.profiles import PROFILES, Profile, in_profile, is_apart, is_for_clients
from converter.architectures.seq2seq_config import OnnxSeq2SeqConfigWithPast
from converter.core.errors import NotSupportedError
from converter.core.reason import reason
from converter.core.text import brief

__all__ = [
    "FEATURES",
    "PROFILES",
    "Architecture",
    "Feature",
    "GenericOnnxConfig",
    "OnnxConfig",
    "OnnxConfigWithPast",
    "OnnxSeq2SeqConfigWithPast",
    "Profile",
    "architectures",
    "canonical",
    "custom_architecture",
    "custom_code_error",
    "embedding_architecture",
    "feature_of_class",
    "find_architecture",
    "in_profile",
    "is_apart",
    "is_for_clients",
    "is_model_type",
    "known_types",
    "model_types",
    "ready_made",
]

ENTRY_POINTS = "converter.architectures"


def model_types() -> tuple[str, ...]:
    """The model types with a dedicated configuration, here or in an installed package, in alphabetical order; none is loaded."""
    return tuple(sorted({*ready_made(), *_of_packages()}))


def is_model_type(name: str) -> bool:
    """Whether a name is a model type, described or not, or was one in an earlier transformers."""
    return name in model_types() or name in known_types() or any(name in types for types in LEFT.values())


@cache
def architectures() -> Mapping[str, Architecture]:
    """All dedicated architectures by model type, in alphabetical order, with those of installed packages.

    Raises NotSupportedError for a package's architecture that cannot be loaded.
    """
    return {model_type: find_architecture(model_type) for model_type in model_types()}


def find_architecture(model_type: str, written_by: str = "", classes: Sequence[str] = ()) -> Architecture:
    """The architecture of a model type, dedicated or generic; an embedder's if the first of a checkpoint's `classes` is one.

    Raises NotSupportedError for a type without a model in transformers; `written_by` is the version in config.json, if any.
    """
    embedder = find_embedder(model_type, classes)
    if embedder and embedder.is_encoder:
        generic = generic_architecture(model_type)
        architecture: Architecture | None = replace(generic, note="") if generic else None
    elif model_type in ready_made():
        architecture = _ready_made()[model_type]
    elif model_type in _of_packages():
        architecture = _load(_of_packages()[model_type])
    else:
        architecture = generic_architecture(model_type, is_embedder=embedder is not None)
    if architecture is None:
        raise _unknown(model_type, written_by)
    return embedding_architecture(architecture, classes)


def embedding_architecture(architecture: Architecture, classes: Sequence[str]) -> Architecture:
    """`architecture` for a checkpoint with `classes` in config.json: an embedder has one feature and outputs its embeddings.

    A custom configuration stays unchanged, and converts the embedder's class.
    """
    embedder = find_embedder(architecture.model_type, classes)
    if embedder is None:
        return architecture
    if architecture.origin:
        return replace(architecture, embedder=embedder.name)
    onnx_config = as_embedder(architecture.onnx_config, embedder)
    return replace(architecture, features=("default",), onnx_config=onnx_config, embedder=embedder.name)


@cache
def ready_made() -> frozenset[str]:
    """The model types that have a file here."""
    return frozenset(_ready_made())


@cache
def _ready_made() -> Mapping[str, Architecture]:
    modules = [importlib.import_module(f"{families.__name__}.{module.name}") for module in pkgutil.iter_modules(families.__path__)]
    descriptions: list[Architecture] = [module.ARCHITECTURE for module in modules if hasattr(module, "ARCHITECTURE")]
    return {architecture.model_type: architecture for architecture in descriptions}


def _unknown(model_type: str, written_by: str) -> NotSupportedError:
    """The error for a model type without an architecture, with the version of transformers that has it, if known."""
    installed, what = transformers_version(), f"the architecture {model_type!r} is not supported"
    last = next((version for version, types in LEFT.items() if model_type in types), None)
    if last:
        return NotSupportedError(
            f"{what}: transformers {installed} has it no more, and {last} was the last that had",
            "take a checkpoint of another architecture",
        )
    if model_type in known_types():
        return NotSupportedError(
            f"{what}: transformers {installed} supports none of the features for it", "describe it yourself, see --config"
        )
    if is_later(written_by, installed):
        return NotSupportedError(
            f"{what}: transformers {installed} does not know it, and its config.json was written by {brief(written_by)}",
            "install that version of transformers, if this package allows it",
        )
    return NotSupportedError(
        f"{what}: transformers {installed} does not know it",
        "install a version of transformers that has it, or mend the model_type in config.json",
    )


@cache
def _of_packages() -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


@cache
def _load(point: EntryPoint) -> Architecture:
    package, version = (point.dist.name, point.dist.version) if point.dist else (point.value, "")
    try:
        architecture = point.load()
    except (Exception, SystemExit) as error:  # a package's own code runs here, and may raise anything
        raise NotSupportedError(f"the architecture {point.name!r} of the package {package} cannot be loaded: {reason(error)}") from error
    if not isinstance(architecture, Architecture) or architecture.model_type != point.name:
        raise NotSupportedError(
            f"the package {package} names {point.value} as the architecture {point.name!r}, which it is not",
            "it has to be a converter.onnx.Architecture of that model type",
        )
    return replace(architecture, origin={package: version})
