"""The documented contract of `transformers.onnx`, as data: 13 families, 80 rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONTRACT: dict[str, Any] = {
    family["model_type"]: family["features"]
    for family in json.loads((Path(__file__).parents[1] / "data/transformers_onnx_contract.json").read_text(encoding="utf-8")).values()
}
"""Each model type's features, with the auto class, the inputs, the outputs and the tolerance of each."""

ROWS = [(model_type, feature) for model_type, features in CONTRACT.items() for feature in features]

Axes = Mapping[int, str]


def spread(names: Mapping[str, Mapping[str, str]], layers: int) -> dict[str, Axes]:
    """A row's names and axes with its `{i}` counted out, layer by layer."""
    per_layer = [name for name in names if "{i}" in name]
    result: dict[str, Axes] = {}
    for name in names:
        if name in per_layer[1:]:
            continue
        copies = [(name, name)]
        if name in per_layer:
            copies = [(pattern.replace("{i}", str(layer)), pattern) for layer in range(layers) for pattern in per_layer]
        result |= {copy: {int(axis): label for axis, label in names[pattern].items()} for copy, pattern in copies}
    return result


def keeps(ours: str, theirs: str, lengths: Mapping[str, set[int]]) -> bool:
    """Whether a label is the row's, or the row's would call two lengths equal that `lengths`, by the row's labels, has seen."""
    return ours == theirs or len(lengths[theirs]) > 1
