"""What is known of each family of models, one file each, named by its model type and with an `ARCHITECTURE`.

An installed package adds one by an entry point of the group `converter.architectures`: its name is the model type, its object an
`Architecture`. A user's own `OnnxConfig`, for once, is one by `own_architecture`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from converter.architectures.architecture import Architecture
from converter.architectures.config import OnnxConfig, OnnxConfigWithPast, OnnxSeq2SeqConfigWithPast
from converter.architectures.features import FEATURES, Feature, canonical, feature_of_class
from converter.architectures.own import own_architecture, own_fault
from converter.errors import NotSupportedError, reason

__all__ = [
    "FEATURES",
    "Architecture",
    "Feature",
    "OnnxConfig",
    "OnnxConfigWithPast",
    "OnnxSeq2SeqConfigWithPast",
    "architectures",
    "canonical",
    "feature_of_class",
    "find_architecture",
    "model_types",
    "own_architecture",
    "own_fault",
    "ready_made",
]

ENTRY_POINTS = "converter.architectures"

_SHARED = ("architecture", "config", "dummies", "features", "own")


def model_types() -> tuple[str, ...]:
    """The model types of all architectures, ours and those of installed packages, in alphabetical order; none is loaded."""
    return tuple(sorted({*ready_made(), *_of_packages()}))


@cache
def architectures() -> Mapping[str, Architecture]:
    """All architectures by model type, in alphabetical order: ours, and those of installed packages.

    Raises NotSupportedError for one of a package that cannot be loaded.
    """
    return {model_type: find_architecture(model_type) for model_type in model_types()}


@cache
def find_architecture(model_type: str) -> Architecture:
    """Give the architecture of a model type, or raise NotSupportedError that says which there are."""
    if model_type in ready_made():
        architecture: Architecture = importlib.import_module(f"{__name__}.{model_type}").ARCHITECTURE
        return architecture
    if model_type in _of_packages():
        return _load(_of_packages()[model_type])
    raise NotSupportedError(
        f"the architecture {model_type!r} is not supported",
        f"supported are: {', '.join(model_types())}; another is by a configuration of your own, see --config",
    )


@cache
def ready_made() -> frozenset[str]:
    """The model types that have a file here."""
    return frozenset(module.name for module in pkgutil.iter_modules(__path__)).difference(_SHARED)


@cache
def _of_packages() -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def _load(point: EntryPoint) -> Architecture:
    package, version = (point.dist.name, point.dist.version) if point.dist else (point.value, "")
    try:
        found = point.load()
    except (Exception, SystemExit) as error:  # a package's own code runs here, and may raise anything
        raise NotSupportedError(f"the architecture {point.name!r} of the package {package} cannot be loaded: {reason(error)}") from error
    if not isinstance(found, Architecture) or found.model_type != point.name:
        raise NotSupportedError(
            f"the package {package} names {point.value} as the architecture {point.name!r}, which it is not",
            "it has to be a converter.onnx.Architecture of that model type",
        )
    return replace(found, origin={package: version})
