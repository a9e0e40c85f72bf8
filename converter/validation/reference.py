"""The checkpoint as a user of transformers would run it: the measure of every artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from converter.checkpoints.loading import LoadedModel
from converter.checkpoints.samples import Array


class Reference:
    """A model loaded in the ordinary way, called with arrays by name."""

    def __init__(self, model: LoadedModel, outputs: Sequence[str]) -> None:
        self.model = model
        self._outputs = tuple(outputs)

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The outputs by name."""
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        with torch.inference_mode():
            result = self.model.module(**tensors, return_dict=True)
        return {name: result[name].numpy() for name in self._outputs}
