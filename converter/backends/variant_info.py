"""How a variant was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from converter.core.records import Search

Activations = Literal["float", "dynamic", "static"]
"""The rounding of a variant's activations: none, by a range of the call, or by a calibrated range."""


@dataclass(frozen=True, kw_only=True)
class VariantInfo:
    """How a variant was made.

    Args:
        files: its files, in the order of their calls.
        computed: the type that it computes in.
        stored: bytes by the type of the tensors.
        quantized: the number of quantized layers and embeddings.
        activations: the rounding of its activations.
        left_out: the type of the weights that were not quantized as the others, by a pattern of names.
        float32: the largest magnitude of tensors that stay in float32 in a float16 file, by a pattern of names.
        calibrated: the number of inputs it was calibrated with.
        search: the search for the layers to leave out.
        problems: steps that failed, a clause for one problem.
    """

    files: tuple[str, ...]
    computed: str
    stored: Mapping[str, int]
    quantized: int = 0
    activations: Activations = "float"
    left_out: Mapping[str, str] = field(default_factory=dict)
    float32: Mapping[str, float] = field(default_factory=dict)
    calibrated: int = 0
    search: Search | None = None
    problems: tuple[str, ...] = ()
