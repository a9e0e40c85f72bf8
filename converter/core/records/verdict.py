"""The result of a validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from converter.core.records.accuracy import Latency, Variant
from converter.core.records.base import Record, Text
from converter.core.records.comparison import Case
from converter.core.records.exactness import Exactness
from converter.core.records.generation import Generation
from converter.core.records.influence import Influence
from converter.core.records.weight_check import WeightCheck


class Verdict(Record):
    """The result of a validation: every figure of every case; or `unvalidated`, the reason that nothing was measured."""

    atol: float
    rtol: float
    runtime: Text
    unvalidated: Text = Field("", description="why it was not validated, if nothing on the machine runs it; otherwise empty")
    problems: tuple[Text, ...] = Field((), description="problems without a figure: names, dtypes, axes, a changed file")
    cases: tuple[Case, ...] = ()
    exactness: tuple[Exactness, ...] = Field((), description="of the outputs that miss the tolerance in some case, in that order")
    influences: tuple[Influence, ...] = ()
    generation: Generation | None = Field(None, description="None without a cache or tokens")
    weights: WeightCheck = WeightCheck(compared=0)
    latency: Latency | None = Field(None, description="None if it did not run, and in older records")
    variants: tuple[Variant, ...] = Field(
        (), description="other precisions with their accuracy drop; the cases belong to the float32 files"
    )
    notes: tuple[Text, ...] = ()

    @property
    def passed(self) -> bool:
        return not any(self.all_problems())

    @property
    def first_problem(self) -> str:
        """The first problem, as a clause; empty if the verdict has passed."""
        return next(self.all_problems(), "")

    def all_problems(self) -> Iterator[str]:
        """All problems, a clause each; empty if the verdict has passed."""
        yield from self.problems
        if self.unvalidated:
            yield f"it was not validated: {self.unvalidated}"
            return
        yield from self._case_problems()
        for influence in self.influences:
            yield from influence.problems()
        if self.generation and self.generation.problem:
            yield self.generation.problem
        yield from self.weights.problems()
        for variant in self.variants:
            yield from (f"{variant.files[-1]} {problem}" for problem in variant.problems)

    def _case_problems(self) -> Iterator[str]:
        for case in self.cases:
            where = f"at {', '.join(f'{axis} {length}' for axis, length in case.axes.items())} ({case.name})"
            if case.error:
                yield f"{case.error} {where}"
            elif not case.comparisons:
                yield f"nothing was compared {where}"
            for comparison in case.comparisons:
                yield from (f"{comparison.output} {what} {where}" for what in comparison.problems(self.atol))
        if not self.cases and not self.variants:
            yield "nothing was compared"

    @property
    def max_abs_error(self) -> float | None:
        """The largest absolute error of all cases and outputs; None if nothing was comparable."""
        errors = [c.max_abs_error for case in self.cases for c in case.comparisons if c.max_abs_error is not None]
        return max(errors, key=lambda error: (error != error, error)) if errors else None

    @property
    def decided_by_float64(self) -> Mapping[str, str]:
        """The sentences of the outputs that float64 decided, by output."""
        errors: dict[str, list[float]] = {}
        for case in self.cases:
            for comparison in case.comparisons:
                errors.setdefault(comparison.output, []).append(comparison.max_abs_error or 0.0)
        return {judgement.output: judgement.sentence(max(errors.get(judgement.output, [0.0])), self.atol) for judgement in self.exactness}

    @property
    def has_base_variant(self) -> bool:
        """Whether the artifact has the float32 files that the cases are about."""
        return not self.variants or any(variant.is_base for variant in self.variants)

    @property
    def tried(self) -> Mapping[str, tuple[int, int]]:
        """The shortest and the longest length of the named axes, in the cases that passed."""
        lengths: dict[str, list[int]] = {}
        for case in self.cases:
            for axis, length in case.axes.items() if case.passed else ():
                lengths.setdefault(axis, []).append(length)
        return {axis: (min(values), max(values)) for axis, values in lengths.items()}

    @property
    def top1_agreement(self) -> float | None:
        """The smallest share of equal decisions of all cases and outputs; None if no output decides anything."""
        shares = [c.top1_agreement for case in self.cases for c in case.comparisons if c.top1_agreement is not None]
        return min(shares) if shares else None
