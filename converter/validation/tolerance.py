"""The tolerance of an artifact: the documented one of its architecture, or float16's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converter.architectures import OnnxConfig
from converter.core.typing import Array

RTOL = 1e-5
"""numpy.allclose's default, which the documented validation used beside its absolute tolerance."""


@dataclass(frozen=True)
class Tolerance:
    """An element is close if |artifact - checkpoint| ≤ atol + rtol·|checkpoint|, as in numpy's allclose."""

    atol: float
    rtol: float

    def at(self, reference: Array) -> Array:
        """The tolerance of each element; an infinity is only close to itself."""
        bound: Array = self.atol + self.rtol * np.abs(np.where(np.isinf(reference), 0.0, reference))
        return bound


FLOAT16 = Tolerance(atol=1e-2, rtol=1e-3)
"""For float16: the relative part is torch.testing's; all-MiniLM-L6-v2 differs by 6.6e-3 on a scale of 5.8, one part in 2^10."""


def default_tolerance(config: OnnxConfig, dtype: str) -> Tolerance:
    """The tolerance for an artifact whose weights are of floating point type `dtype`."""
    return FLOAT16 if dtype == "float16" else Tolerance(config.atol_for_validation, RTOL)
