"""What validation measured: each output of each case, the influence of each input, the stored weights, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from converter.core.records.accuracy import Latency, Variant
from converter.core.records.base import Count, Record, Text


class Comparison(Record):
    """One output in one case: what the artifact gave beside what the checkpoint gave.

    `max_abs_error` is over the positions that are no padding; `max_rel_error` is that over the largest value of the
    reference. `close` is by the tolerance; `exact` is an output that misses it, and is as near to float64 as PyTorch float32 is.
    `top1_agreement` is the share of decisions (argmax) that are the same, ties within tolerance counted as such
    and numbered in `top1_ties`; None where the output decides nothing.
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
        """Whether both gave numbers of one type and shape."""
        return self.dtype == self.expected_dtype and self.shape == self.expected_shape and not self.expected_nan

    @property
    def passed(self) -> bool:
        return not any(self.problems(0))

    def problems(self, atol: float) -> Iterator[str]:
        """What is wrong with this output, a clause each; `atol` is only told."""
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


class Exactness(Record):
    """An output that misses the tolerance, held against the checkpoint in float64 beside PyTorch's float32, over all cases.

    Errors are absolute, against float64: the largest, and root mean squares. `worst_case` is the root mean square of the worst single
    case over what it may be: more than 1 is a failure.
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
        """How many times PyTorch float32's root mean square error the artifact's is."""
        return self.rms_error / self.rms_reference_error if self.rms_reference_error else float("inf")

    def sentence(self, max_abs_error: float, atol: float) -> str:
        """What decided; `max_abs_error` is the largest difference from PyTorch float32, that misses `atol`."""
        message = f"as exact as PyTorch float32 ({self.ratio:.2f} x its error against float64)"
        if self.passed:
            return f"max error {max_abs_error:.1e} > {atol:g}, but {message}"
        return f"max error {max_abs_error:.1e} > {atol:g}, and {self.ratio:.3g} x PyTorch float32's error against float64"


class Case(Record):
    """One set of inputs given to both: the length of each named axis, and every output compared."""

    name: Text
    axes: Mapping[Text, Count]
    comparisons: tuple[Comparison, ...] = ()
    error: Text | None = None

    @property
    def passed(self) -> bool:
        return self.error is None and bool(self.comparisons) and all(comparison.passed for comparison in self.comparisons)


class Influence(Record):
    """How far the outputs move when one input alone is changed, in the checkpoint and in the artifact; `where` is with a past or
    without, for a model that has one."""

    input: Text
    where: str = ""
    reference_change: float
    artifact_change: float
    passed: bool

    def problems(self) -> Iterator[str]:
        """What is wrong, in a clause; nothing where all is well."""
        if not self.passed:
            where = f" {self.where}" if self.where else ""
            yield f"the input {self.input!r} matters to the checkpoint ({self.reference_change:.1e}) and not to the artifact{where}"


class WeightCheck(Record):
    """The tensors that the artifact stores, compared with the checkpoint's, and the other way round.

    `different` bear the name of a weight and are not it: bit for bit, or, in another precision, as near as that allows. `unknown` are
    large and neither a weight nor a constant that the checkpoint computes; `computed` counts such constants. `missing` are weights that
    outputs depend on and that are not stored, `unneeded` those that no output depends on.
    `tied` are the names that stand for the same bytes, a group each; `doubled` names one that is tied in the checkpoint and has
    bytes of its own here, `joined` one that shares its bytes where each name was asked to have its own.
    """

    compared: Count
    different: tuple[Text, ...] = ()
    unknown: tuple[Text, ...] = ()
    computed: Count = 0
    missing: tuple[Text, ...] = ()
    unneeded: tuple[Text, ...] = ()
    tied: tuple[tuple[Text, ...], ...] = ()
    doubled: tuple[Text, ...] = ()
    joined: tuple[Text, ...] = ()

    def problems(self) -> Iterator[str]:
        """What is wrong with the stored weights, a clause each."""
        for names, what in (
            (self.different, "of its weights are not the checkpoint's"),
            (self.unknown, "of its large tensors are none of the checkpoint's"),
            (self.missing, "of the checkpoint's weights are not in it"),
            (self.doubled, "of its weights are tied in the checkpoint and stored twice"),
            (self.joined, "of its weights share their bytes and were to be stored each for itself"),
        ):
            if names:
                yield f"{len(names)} {what}, {names[0]} first"


class Generation(Record):
    """Greedy generation with the cache fed back: how many tokens the artifact chose, how many of them as transformers' `generate`
    did, and how many otherwise where transformers held both for equal within tolerance."""

    tokens: Count
    equal: Count
    ties: Count = 0
    lost_lead: float = Field(0.0, description="the most that a token of transformers' was ahead, by its logits, of one chosen in its place")
    error: Text | None = None

    @property
    def passed(self) -> bool:
        return not self.problem

    def by(self, atol: float) -> Generation:
        """The same judged by another tolerance of each logit: all that differs is a tie where no lead is larger than two of it."""
        return self.model_copy(update={"ties": self.tokens - self.equal}) if self.problem and self.lost_lead <= 2 * atol else self

    @property
    def problem(self) -> str:
        """What is wrong, in a clause; empty where nothing is."""
        if self.error or not self.tokens:
            return self.error or "it generates nothing"
        others = self.tokens - self.equal - self.ties
        return f"{others} of the {self.tokens} tokens that it generates are not the checkpoint's" if others else ""


class Finding(Record):
    """What was found of a model before it is converted, at the lengths of some axes, by name: a sentence, and whether all is well.

    `passed` None is what could not be looked at here.
    """

    axes: Mapping[str, int]
    message: str
    passed: bool | None


class Verdict(Record):
    """What validation measured: every figure of every case; or `unvalidated`, why nothing could be, in a clause."""

    atol: float
    rtol: float
    runtime: Text
    unvalidated: Text = Field("", description="why nothing was measured, where nothing here runs the artifact; empty where it was")
    problems: tuple[Text, ...] = Field((), description="what is wrong and no figure: names, dtypes, axes, a changed file")
    cases: tuple[Case, ...] = ()
    exactness: tuple[Exactness, ...] = Field((), description="of the outputs that miss the tolerance in some case, in that order")
    influences: tuple[Influence, ...] = ()
    generation: Generation | None = Field(None, description="None where the model has no cache or gives no tokens")
    weights: WeightCheck = WeightCheck(compared=0)
    latency: Latency | None = Field(None, description="None where nothing ran it, and in records of before it was measured")
    variants: tuple[Variant, ...] = Field((), description="other precisions, by what they lose; the cases are those of the float32 files")
    notes: tuple[Text, ...] = ()

    @property
    def passed(self) -> bool:
        return not any(self.all_problems())

    @property
    def first_problem(self) -> str:
        """What is wrong, in a clause; empty for a verdict that has passed."""
        return next(self.all_problems(), "")

    def all_problems(self) -> Iterator[str]:
        """All that is wrong, a clause each; nothing for a verdict that has passed."""
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
        """The largest absolute error of all cases and outputs; None where nothing could be compared."""
        errors = [c.max_abs_error for case in self.cases for c in case.comparisons if c.max_abs_error is not None]
        return max(errors, key=lambda error: (error != error, error)) if errors else None

    @property
    def decided_by_float64(self) -> Mapping[str, str]:
        """For each output that misses the tolerance and was held against float64, the sentence that says what decided."""
        errors: dict[str, list[float]] = {}
        for case in self.cases:
            for comparison in case.comparisons:
                errors.setdefault(comparison.output, []).append(comparison.max_abs_error or 0.0)
        return {judgement.output: judgement.sentence(max(errors.get(judgement.output, [0.0])), self.atol) for judgement in self.exactness}

    @property
    def has_exact(self) -> bool:
        """Whether the files that the cases are of are the artifact's, and not only what its variants were made of."""
        return not self.variants or any(variant.is_base for variant in self.variants)

    @property
    def tried(self) -> Mapping[str, tuple[int, int]]:
        """The shortest and the longest length of each named axis of the inputs, of the cases that passed."""
        lengths: dict[str, list[int]] = {}
        for case in self.cases:
            for axis, length in case.axes.items() if case.passed else ():
                lengths.setdefault(axis, []).append(length)
        return {axis: (min(values), max(values)) for axis, values in lengths.items()}

    @property
    def top1_agreement(self) -> float | None:
        """The smallest share of equal decisions of all cases and outputs; None where no output decides anything."""
        shares = [c.top1_agreement for case in self.cases for c in case.comparisons if c.top1_agreement is not None]
        return min(shares) if shares else None
