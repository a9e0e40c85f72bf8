"""A past as a model has it in use: its own keys and values, of other tokens.

No model meets random numbers for a past. On trained weights they are so ill-conditioned that PyTorch float32 itself is far off float64.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from converter.core.typing import Array

_IN, _OUT = "past_key_values.", "present."


class OwnPast:
    """The checkpoint's keys and values for one long text, (heads, tokens, features) each, to be cut to any length.

    Every row begins with the first token's, because many models attend to it from everywhere, and continues at a different position. A
    past longer than the text repeats it.
    """

    def __init__(self, outputs: Mapping[str, Array]) -> None:
        """`outputs` are the checkpoint's for one text, its `present.…` (1, heads, tokens, features) among them."""
        self._layers = {f"{_IN}{name.removeprefix(_OUT)}": array[0] for name, array in outputs.items() if name.startswith(_OUT)}

    def fill(self, inputs: dict[str, Array], rng: np.random.Generator) -> None:
        """Put keys and values into the past of `inputs`, in place, of the shapes that it has there."""
        places: dict[tuple[int, int, int], Array] = {}
        for name, array in inputs.items():
            layer = self._layers.get(name)
            if layer is None or not array.size or not layer.size:
                continue
            batch, _, length, _ = array.shape
            held = layer.shape[1]
            shape = (batch, length, held)  # all layers of one row are of the same tokens
            if shape not in places:
                offsets = rng.integers(0, max(1, held - 1), batch) if length < held else np.arange(batch)
                places[shape] = np.stack([_places(length, held, offset) for offset in offsets])
            inputs[name] = np.ascontiguousarray(layer[:, places[shape]].swapaxes(0, 1)).astype(array.dtype, copy=False)


def _places(length: int, held: int, offset: int) -> Array:
    """Which tokens, of `held`, a row's past of `length` is: the first, and those from the offset on."""
    rest = (offset + np.arange(length - 1)) % max(1, held - 1) + min(1, held - 1)
    result: Array = np.concatenate([[0], rest])
    return result
