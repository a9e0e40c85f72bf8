"""An artifact's outputs beside the checkpoint's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from converter.core.records.base import Count, Record, Text


class Comparison(Record):
    """One output in one case, of the artifact and of the checkpoint.

    `max_abs_error` leaves padding out. `max_rel_error` is `max_abs_error` over the largest value of the reference. `close`: within
    the tolerance. `exact`: outside it, and as near to float64 as PyTorch float32 is. `top1_agreement` is the share of equal decisions
    (argmax), None if the output decides nothing. Ties within tolerance count as equal, and `top1_ties` counts them.
    """

    output: Text
    dtype: Text
    expected_dtype: Text
    shape: tuple[Count, ...]
    expected_shape: tuple[Count, ...]
    close: bool
    exact: bool = False
    max_abs_error: float | None = None
    max_rel_error: float | None = None
    top1_agreement: float | None = None
    top1_ties: int = 0
    expected_nan: bool = False

    @property
    def is_comparable(self) -> bool:
        """Whether both are numbers of one dtype and shape."""
        return self.dtype == self.expected_dtype and self.shape == self.expected_shape and not self.expected_nan

    @property
    def passed(self) -> bool:
        return not any(self.problems(0))

    def problems(self, atol: float) -> Iterator[str]:
        """The problems of this output, a clause for one problem; `atol` is for the text only."""
        if self.dtype != self.expected_dtype:
            yield f"is {self.dtype} instead of {self.expected_dtype}"
        if self.shape != self.expected_shape:
            yield f"has shape {self.shape} instead of {self.expected_shape}"
        elif self.expected_nan:
            yield "cannot be judged: the checkpoint itself gives NaN"
        elif not (self.close or self.exact):
            yield f"differs by {self.max_abs_error:.1e} (atol: {atol:g})"
        if self.top1_agreement not in (None, 1.0):
            yield f"decides otherwise in {1 - self.top1_agreement:.1%} of the cases"


class Case(Record):
    """One set of inputs for the artifact and the checkpoint: the lengths of the named axes, and the comparison of every output."""

    name: Text
    axes: Mapping[Text, Count]
    comparisons: tuple[Comparison, ...] = ()
    error: Text | None = None

    @property
    def passed(self) -> bool:
        return self.error is None and bool(self.comparisons) and all(comparison.passed for comparison in self.comparisons)
