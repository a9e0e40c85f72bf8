"""Does a trace hold at other shapes than the one it was made at? Measured, axis by axis: no count of the tracer's warnings tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from converter.architectures import OnnxConfig
from converter.architectures.size import Size
from converter.backends.traced.form import disagreement
from converter.checkpoints.export_wrappers import ExportWrapper

Maker = Callable[[Size], Sequence[torch.Tensor]]


def fixed_axes(
    traced: torch.jit.ScriptModule, wrapper: ExportWrapper, config: OnnxConfig, tensors: Sequence[torch.Tensor], size: Size, others: Maker
) -> dict[str, int]:
    """The axes, by name, that have to be as long as in `tensors`, of `size`: at another length the trace raises or gives something else.

    `others` makes inputs of a size. An axis that it never gives another length, as a configuration that makes its own inputs may, is one
    of these too.
    """
    traced_at = _lengths(config, tensors)

    def moved(other: Size) -> set[str]:
        """The axes that are of another length at `other`, if both give the same there; none otherwise."""
        inputs = others(other)
        labels = {label for label, length in _lengths(config, inputs).items() if length != traced_at[label]}
        return labels if labels and not disagreement(traced, wrapper, inputs) else set()

    free: set[str] = set()
    apart = alone = size
    for part, lengths in _other_lengths(size, config.max_sequence_length).items():
        moves = [moved(_resized(alone, part, length)) for length in lengths]
        if all(moves):
            free.update(*moves)
            apart = _resized(apart, part, lengths[-1])
            if part == "batch":
                alone = replace(size, batch=1)  # the longest texts cost least so
    if free and not moved(apart):
        free.clear()  # each alone, and not all at once
    return {label: length for label, length in traced_at.items() if label not in free}


def _lengths(config: OnnxConfig, tensors: Sequence[torch.Tensor]) -> dict[str, int]:
    axes = zip(config.inputs.values(), tensors, strict=True)
    return {label: tensor.shape[axis] for labels, tensor in axes for axis, label in labels.items()}


def _other_lengths(size: Size, longest: int) -> dict[str, list[int]]:
    """For each part of a size other lengths to try: the longest, as code may be another beyond some length, the shortest, and near ones."""
    tried: dict[str, list[int]] = {}
    for part, most in (("batch", size.batch + 2), ("choice", size.choice + 2), ("sequence", longest), ("source", longest)):
        length = getattr(size, part)
        tried[part] = [other for other in dict.fromkeys((most, 1, min(most, length + 7), max(1, length // 2))) if other != length]
    return tried


def _resized(size: Size, part: str, length: int) -> Size:
    values: dict[str, Any] = {part: length}
    return replace(size, **values)
