"""How much an output moves if the weights are a little off: what rounding them may do, of itself.

A trained decoder may answer wildly behind a token. SmolLM2-135M in float16 is off by 0.002 of the spread in most rows and by 0.075 in
one, and moves as unevenly if noise is added to its weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_STEPS = 127
"""Of the largest weight of a row: the noise is what rounding to 8 bits does, at most half a step."""


class NoisyWeights:
    """The matrices of a model with noise: uniform, at most half of a 127th of the largest magnitude of their row.

    Args:
        module: a model, whose tied weights get the same noise.
        seed: of the noise.
    """

    def __init__(self, module: torch.nn.Module, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        named = module.named_parameters(remove_duplicate=False)
        self._parameters = {name: parameter for name, parameter in named if parameter.ndim > 1 and parameter.is_floating_point()}
        self._noisy: dict[int, torch.Tensor] = {}
        with torch.inference_mode():
            for parameter in self._parameters.values():
                data = parameter.data
                if data.data_ptr() not in self._noisy:
                    step = data.abs().amax(dim=tuple(range(1, data.ndim)), keepdim=True) / _STEPS
                    noise = torch.rand(data.shape, generator=generator, dtype=torch.float32) - 0.5
                    self._noisy[data.data_ptr()] = (data + step * noise).to(data.dtype)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model its noisy weights for a while; mapped memory is not written to."""
        with torch.inference_mode():
            kept = {name: parameter.data for name, parameter in self._parameters.items()}
        try:
            with torch.inference_mode():
                for name, data in kept.items():
                    self._parameters[name].data = self._noisy[data.data_ptr()]
            yield
        finally:
            with torch.inference_mode():
                for name, data in kept.items():
                    self._parameters[name].data = data
