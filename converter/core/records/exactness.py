"""An output as exact as PyTorch float32, by float64."""

from __future__ import annotations

from converter.core.records.base import Record, Text


class Exactness(Record):
    """The errors of an output outside the tolerance, and of PyTorch float32, against the checkpoint in float64, over all cases.

    Errors are absolute: the largest, and root mean squares. `worst_case` is the root mean square error of the worst case, divided by
    its bound: more than 1 is a failure.
    """

    output: Text
    max_error: float
    max_reference_error: float
    max_bound: float
    rms_error: float
    rms_reference_error: float
    rms_bound: float
    worst_case: float = 0.0

    @property
    def passed(self) -> bool:
        return self.max_error <= self.max_bound and self.rms_error <= self.rms_bound and self.worst_case <= 1

    @property
    def ratio(self) -> float:
        """The artifact's root mean square error over PyTorch float32's."""
        return self.rms_error / self.rms_reference_error if self.rms_reference_error else float("inf")

    def sentence(self, max_abs_error: float, atol: float) -> str:
        """Say what decided. `max_abs_error` is the largest difference from PyTorch float32."""
        message = f"as exact as PyTorch float32 ({self.ratio:.2f} x its error against float64)"
        if self.passed:
            return f"max error {max_abs_error:.1e} > {atol:g}, but {message}"
        return f"max error {max_abs_error:.1e} > {atol:g}, and {self.ratio:.3g} x PyTorch float32's error against float64"
