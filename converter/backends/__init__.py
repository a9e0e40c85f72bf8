"""The backends by name: each is one module or package that knows nothing of the others.

An installed package adds one by an entry point of the group `converter.backends`: the name is the backend's, the object a `Backend`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from converter.backends.artifact_files import ArtifactFiles
from converter.backends.backend import Backend
from converter.backends.card_text import CardText
from converter.backends.conversion import ConfiguredModel, Conversion
from converter.backends.costs import Costs, Demand
from converter.backends.neuron import NeuronBackend
from converter.backends.onnx import OnnxBackend
from converter.backends.result import ConversionResult
from converter.backends.session import Session
from converter.backends.stored_weight import StoredWeight
from converter.backends.torchscript import TorchScriptBackend
from converter.core.reason import reason
from converter.core.text import brief

__all__ = [
    "BACKENDS",
    "ENTRY_POINTS",
    "REFUSED",
    "RESERVED",
    "ArtifactFiles",
    "Backend",
    "CardText",
    "ConfiguredModel",
    "Conversion",
    "ConversionResult",
    "Costs",
    "Demand",
    "Session",
    "StoredWeight",
    "unknown_backend",
]

ENTRY_POINTS = "converter.backends"

RESERVED = ("cache", "features", "plan", "push", "report", "run", "validate")
"""Commands, so that no backend may be called so."""


def _of_packages(own: Mapping[str, Backend]) -> tuple[Mapping[str, Backend], Mapping[str, str]]:
    """The backends of installed packages, and the sentences on those that cannot be used, by name."""
    backends: dict[str, Backend] = {}
    refused: dict[str, str] = {}
    for point in entry_points(group=ENTRY_POINTS):
        package = point.dist.name if point.dist else point.value
        try:
            backend = point.load()
            problem = _problem(point, package, backend, {*own, *backends})
        except (Exception, SystemExit) as error:  # a package's own code runs here, and may raise anything
            problem = f"it cannot be loaded: {reason(error)}"
        if problem:
            refused[point.name] = f"the backend {point.name!r} of the package {package} is left out: {problem}"
        else:
            backends[point.name] = backend
    return backends, refused


def _problem(point: EntryPoint, package: str, backend: object, others: set[str]) -> str:
    """The reason why a package's backend cannot be used, in a clause; empty if it can."""
    if not isinstance(backend, Backend):
        return f"{point.value} has to be an instance of converter.backends.Backend"
    if backend.name != point.name or not re.fullmatch(r"[a-z][a-z0-9_]*", point.name):
        return f"its name is {backend.name!r}; the entry point and it need the same name, in lower case"
    if point.name in others or point.name in RESERVED:
        return "the name is taken"
    if package not in backend.packages:
        return f"{package} is missing in its packages, so a new version of it would convert nothing again"
    return ""


_OWN: Mapping[str, Backend] = {backend.name: backend for backend in (OnnxBackend(), TorchScriptBackend(), NeuronBackend())}
_THEIRS, REFUSED = _of_packages(_OWN)

BACKENDS: Mapping[str, Backend] = {**_OWN, **_THEIRS}
"""All backends; `REFUSED` has the sentences on those of packages that cannot be used."""


def unknown_backend(name: str) -> str:
    """The sentence about a name that is not in `BACKENDS`."""
    return REFUSED.get(name) or f"unknown backend {brief(name)!r}; known: {', '.join(BACKENDS)}"
