"""A planted fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.planted.graph import Graph, Surgery
from tests.planted.witness import Witness

Kind = Literal[
    "weights",
    "configuration",
    "interface",
    "masks, positions and caches",
    "sizes and values",
    "precisions",
    "TorchScript and Neuron",
    "files beside it",
]
KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]  # a Literal's values

Plant = Callable[[Path], None]
"""Plants a fault in a copy of a model's folder."""


def _nothing(folder: Path) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault in a copy of a good model's folder.

    Attributes:
        base: the good artifact, by its name in BASES.
        prepare: harmless changes to the good copy before.
        record: whether the artifact's record stays; without it no checksum helps.
        asked: options of the validation, besides the base's own.
        impossible: why validation cannot see it, in a clause; empty for a fault that it must catch.
    """

    name: str
    kind: Kind
    base: str
    plant: Plant
    witness: Witness
    prepare: Plant = _nothing
    record: bool = False
    asked: Mapping[str, Any] = field(default_factory=dict)
    impossible: str = ""


def on_graph(*surgeries: Surgery, file: str = "model.onnx") -> Plant:
    """Operate on an ONNX file of the artifact."""

    def plant(folder: Path) -> None:
        path = folder / "onnx" / file
        graph = Graph.load(path)
        for surgery in surgeries:
            surgery(graph)
        graph.save(path)

    return plant
