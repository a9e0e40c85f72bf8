"""Check that config.json fits the weights: a few characters in it may ask for all memory.

No honest checkpoint is refused: layers may be shared, heads missing, tables computed, and weights stored in one bit. The worker's memory
limit handles the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.checkpoints.stored import stored_tensors
from converter.core.errors import CheckpointError
from converter.core.records import Checkpoint
from converter.core.text import brief

if TYPE_CHECKING:
    import torch

_LAYERS = re.compile(r"(num|n)_(\w+_)?layers?|(encoder|decoder)_layers")
_SHARED = 128
"""Layers that any checkpoint may have, as they may share their weights; ALBERT's have 12 such, and no model's 24."""
_LABELS_OF_ANY = 1000
"""Labels that any checkpoint may have, however small it is."""
_ROW = 16
"""The fewest bytes of weights that a label has in a head: 128 weights of one bit."""
_WIDENED = 32
"""The maximum ratio of float32 weights to stored ones: one bit each."""
_UNSTORED = 2**30
"""Bytes of a model that need not be stored, such as heads that it was not trained for, and tables that are computed."""


def check_counts(checkpoint: Checkpoint, folder: Path) -> None:
    """Raise CheckpointError where config.json claims more layers or labels than the weights in `folder` can be of.

    transformers makes an object for each before it looks at a weight.
    """
    counts = dict(_counts(checkpoint.config))
    for name, count in counts.items():
        if count < 0:
            raise _claimed(checkpoint, f"{name} {_figure(count)}, fewer than none")
    layers = {name: count for name, count in counts.items() if name != _LABELS and count > _SHARED}
    tensors = _tensors(checkpoint, folder) if layers else 0
    for name, count in layers.items():
        if count > tensors:
            raise _claimed(checkpoint, f"{name} {_figure(count)}, more than there are tensors in its weights, which are {tensors:,}")
    labels, most = counts.get(_LABELS, 0), max(_LABELS_OF_ANY, checkpoint.weight_bytes // _ROW)
    if labels > most:
        raise _claimed(checkpoint, f"{_LABELS} {_figure(labels)}, and its weights have room for {most:,}")


def check_model(model: torch.nn.Module, folder: Path, stored: int) -> None:
    """Raise CheckpointError for a model, built without memory, that is larger than `stored` bytes of weights can fill."""
    wanted = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    if wanted > _WIDENED * stored + _UNSTORED:
        raise CheckpointError(
            f"config.json of {folder} describes a model of {wanted / 1e9:,.1f} GB, and its weights have {stored / 1e9:,.3f} GB",
            "one of the two is of another model; download the checkpoint again",
        )


_LABELS = "num_labels"


def _counts(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int]]:
    """What config.json, or a part of it, says of how many layers and labels there are, by name."""
    for key, value in config.items():
        name = f"{prefix}{brief(key)}"
        if isinstance(value, int) and (key == _LABELS or _LAYERS.fullmatch(key)):
            yield (name if key != _LABELS else _LABELS), value
        elif key == "attention_types" and isinstance(value, list):  # GPT Neo's layers: [[["global", "local"], 12]]
            yield name, sum(_repeated(*entry) for entry in value if isinstance(entry, list) and len(entry) == 2)
        elif isinstance(value, dict) and not prefix:
            yield from _counts(value, f"{name}.")


def _repeated(kinds: Any, times: Any) -> int:
    return len(kinds) * times if isinstance(kinds, list) and isinstance(times, int) else 0


def _tensors(checkpoint: Checkpoint, folder: Path) -> int:
    """How many tensors are stored; a pickle does not say, and has no more than bytes."""
    stored = [len(stored_tensors(folder / name)) for name in checkpoint.files if name.endswith(".safetensors")]
    return sum(stored) or checkpoint.weight_bytes


def _claimed(checkpoint: Checkpoint, what: str) -> CheckpointError:
    return CheckpointError(
        f"config.json of {checkpoint.source} claims {what}", "one of the two is of another model; download the checkpoint again"
    )


def _figure(count: int) -> str:
    return f"{count:,}" if abs(count) < 10**30 else "of more than 30 digits"
