"""What is known of each family of models, one file each: every module here that has an `ARCHITECTURE` is one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from converter.architectures.config import Architecture, OnnxConfig
from converter.architectures.features import FEATURES, Feature, canonical
from converter.errors import NotSupportedError

__all__ = ["FEATURES", "Architecture", "Feature", "OnnxConfig", "architectures", "canonical", "find_architecture"]


@cache
def architectures() -> Mapping[str, Architecture]:
    """All architectures by model type, in alphabetical order."""
    modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    found = (module.ARCHITECTURE for module in modules if hasattr(module, "ARCHITECTURE"))
    return dict(sorted((architecture.model_type, architecture) for architecture in found))


def find_architecture(model_type: str) -> Architecture:
    """Give the architecture of a model type, or raise NotSupportedError that says which there are."""
    try:
        return architectures()[model_type]
    except KeyError:
        raise NotSupportedError(
            f"the architecture {model_type!r} is not supported",
            f"supported are: {', '.join(architectures())}",
        ) from None
