"""The choice of a variant by its accuracy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from converter.backends.session import Session

if TYPE_CHECKING:
    from converter.core.typing import Array


class Evaluator(Protocol):
    """The inputs to calibrate a variant with, others to try it on, and the accuracy that it may lose."""

    @property
    def calibration(self) -> Sequence[Mapping[str, Array]]: ...

    @property
    def samples(self) -> Sequence[Mapping[str, Array]]:
        """A few of the inputs to try a variant on, of all lengths."""

    @property
    def inputs(self) -> int: ...

    def float32_weights(self, dtype: str) -> Collection[str]:
        """Return the weights, by the module's names, that transformers keeps in float32 in a model of `dtype`."""

    def attempt(self, session: Session) -> tuple[bool, float]:
        """Return whether an artifact loses no more than it may, and its accuracy drop."""
