"""The predicted memory and time of a conversion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Demand:
    """A job's anonymous memory beyond the imports: `start` in bytes, and multiples of its weights in float32 and of its longest
    logits."""

    start: int
    weights: float
    logits: float


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The memory and time of conversions, by which they are admitted and divided among machines.

    Args:
        memory: for the artifact in float32.
        variants_memory: for its variants; None without any.
        of_types: by model type, how much more of `memory.weights` it takes than others.
        start_seconds: CPU seconds of a tiny model, on two cores; measured on three BERTs, see docs/reference/measurements.md.
        seconds_per_gb: CPU seconds per gigabyte of weights, from the same measurement.
    """

    memory: Demand
    variants_memory: Demand | None = None
    of_types: Mapping[str, float] = field(default_factory=dict)
    start_seconds: float = 1.5
    seconds_per_gb: float


UNMEASURED = Costs(memory=Demand(start=250_000_000, weights=1.8, logits=4.0), seconds_per_gb=33.0)
"""TorchScript's, which are the largest that were measured, see docs/reference/measurements.md."""
