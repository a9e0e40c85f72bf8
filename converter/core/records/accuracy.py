"""What a variant is: an artifact's files in another precision, what they lost by it, and whether that is what its user asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field

from converter.core.records.base import Count, Record, Text

Tier = Literal["near-lossless", "lossy", "any"]
"""How much may be lost, the least first. A variant's own is what was measured of it, whatever its method is called."""

TIERS: Mapping[Tier, str] = {"near-lossless": "near-lossless", "lossy": "lossy", "any": "beyond lossy"}
"""What a measured tier is called."""

AccuracyKind = Literal["embeddings", "decisions", "language model"]


class Latency(Record):
    """What one call took, of the artifact in its session and of what it stands beside, for the same arrays: a hint, no benchmark.

    That is the checkpoint in PyTorch, or, for a variant, the float32 file. `seconds` and `reference_seconds` are the least of `calls`
    calls each, made in turn, at the lengths of the named `axes` and with `threads` threads. An artifact that runs in a process of its
    own is timed there, without the hand-over.
    """

    axes: Mapping[str, int]
    seconds: float
    reference_seconds: float
    calls: int
    threads: int


class AccuracyDrop(Record):
    """How far a variant is from its checkpoint, which computes in float32, over `inputs` texts that nothing was chosen or calibrated by.

    Of embeddings (masked means over the tokens): the cosine to the checkpoint's, mean and minimum, and `neighbours`, the share of texts
    whose nearest other text is the same. Of decisions (the largest value along the last axis) and of language models (the next token,
    each after the text before it): `agreement`, the share that is the same, of `decisions`. `flipped_margin` is the largest lead, in
    probability, that a choice had in the checkpoint and lost here. Perplexities are of the text itself. `spread` is 1 - the squared
    errors over the squared deviations from the mean of all inputs: a constant answer loses all of it, right as it may often be.
    `divergence` orders variants and judges none: 1 - the mean cosine, or the mean Kullback-Leibler divergence in nats.
    """

    kind: AccuracyKind
    inputs: Count
    of: Text
    distance: float
    cosine_min: float | None = None
    cosine_mean: float | None = None
    neighbours: float | None = None
    agreement: float | None = None
    decisions: Count | None = None
    flipped_margin: float | None = None
    r2: float | None = None
    perplexity: float | None = None
    reference_perplexity: float | None = None

    @property
    def perplexity_change(self) -> float | None:
        """By which part of itself the perplexity has changed, up or down; None where there is none."""
        if self.perplexity is None or self.reference_perplexity is None:
            return None
        return abs(self.perplexity / self.reference_perplexity - 1)

    @property
    def summary(self) -> str:
        """The figures for people, in a clause."""
        return ", ".join(self._figures())

    def _figures(self) -> Iterator[str]:
        if self.cosine_min is not None:
            yield f"cosine {self.cosine_mean:.4f}, at least {self.cosine_min:.4f}"
        if self.neighbours is not None:
            yield f"{self.neighbours:.1%} of nearest neighbours"
        if self.agreement is not None:
            yield f"{self.agreement:.1%} of {self.decisions} {'tokens' if self.kind == 'language model' else 'decisions'}"
        if self.flipped_margin:
            yield f"a lead of {self.flipped_margin:.2f} lost"
        if self.r2 is not None:
            yield f"{self.r2:.1%} of the spread"
        if self.perplexity is not None:
            yield f"perplexity {self.perplexity:.4g} for {self.reference_perplexity:.4g}"


class Search(Record):
    """How it was chosen what a variant leaves in a wider type: the settings tried, each on `inputs` texts of their own, and the cost."""

    tried: Count
    inputs: Count
    cpu_seconds: float


class Deviation(Record):
    """How far an output of a variant is from the checkpoint's at the cases of the grid, in parts of what tells its results apart.

    `median` is over the cases. `worst` is the case that is farthest off, `worst_row` the row or token that is, each with its bound:
    a number of medians, as found by measurement, see docs/explanation/precision.md.
    """

    output: Text
    median: float
    worst: float
    bound: float
    case: Text
    worst_row: float
    row_bound: float
    row_case: Text

    @property
    def passed(self) -> bool:
        return self.worst <= self.bound and self.worst_row <= self.row_bound

    def problems(self) -> Iterator[str]:
        """What is wrong, a clause each."""
        for what, error, bound, case in (
            ("", self.worst, self.bound, self.case),
            (" in one row", self.worst_row, self.row_bound, self.row_case),
        ):
            if not error <= bound:
                yield (
                    f"is off by {error:.2g} of the spread of {self.output}{what} ({case}), where {bound:.2g} is allowed: "
                    f"over all cases it is {self.median:.2g}"
                )


class Variant(Record):
    """One precision of an artifact: its files, what is stored and computed in which type, what it lost, and how long it takes.

    `tier` is by what was measured, `asked` what its user wants at least. `quantized` counts layers and embeddings; `left_out` says, by
    a pattern of names, what the weights of the others are; `float32` says what of a float16 file is in float32, and the largest
    magnitude there. `stored` are bytes by the type of the tensors in the files. `own` is what a metric of the user's own gave.
    `latency` is beside the float32 files, as they are deployed. `size` is of all its files, in bytes.
    """

    name: Text
    is_base: bool = Field(False, description="whether it is the float32 files that the others are made of")
    files: tuple[Text, ...]
    size: Count
    reference_size: Count = Field(description="bytes of the float32 files that it was made from")
    computed: Text
    stored: Mapping[Text, Count]
    quantized: Count = 0
    left_out: Mapping[Text, Text] = {}
    float32: Mapping[Text, float] = Field({}, description="what a float16 file has in float32 for its range: the largest magnitude")
    calibrated: Count = Field(0, description="texts that ranges of activations were found by")
    search: Search | None = None
    required_tier: Tier
    tier: Tier
    accuracy_drop: AccuracyDrop
    deviations: tuple[Deviation, ...] = Field((), description="at the cases of the grid, the output that is farthest off first")
    custom_metrics: Mapping[Text, float | bool] = {}
    latency: Latency | None = None
    runtime: Text
    cpu: Text = Field(description="what the processor has that matters to narrow products")
    problems: tuple[Text, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.problems

    @property
    def summary(self) -> str:
        """What it is beside the float32 files, in a clause."""
        smaller = f", {self.share:.2f} of the size" if self.share is not None and not self.is_base else ""
        timed = f", {self.latency.seconds / self.latency.reference_seconds:.2f} of the time" if self.latency else ""
        left = "".join(f"; {pattern} in {kind}" for pattern, kind in self.wider.items())
        return f"{TIERS[self.tier]}: {self.measured}{smaller}{timed}{left}"

    @property
    def wider(self) -> Mapping[str, str]:
        """What is in a wider type than the others, by a pattern of names, and in which."""
        wide = {pattern: f"float32, largest value {largest:.1e}" for pattern, largest in self.float32.items()}
        return {pattern: ", ".join(filter(None, (self.left_out.get(pattern), wide.get(pattern)))) for pattern in (*self.left_out, *wide)}

    @property
    def measured(self) -> str:
        """What it lost and what a metric of the user's own gave, in a clause."""
        custom_metrics = (
            f"{name} {value if isinstance(value, bool) else format(value, '.4g')}" for name, value in self.custom_metrics.items()
        )
        return ", ".join((self.accuracy_drop.summary, *custom_metrics))

    @property
    def share(self) -> float | None:
        """The bytes of its tensors over those of the float32 files; None where these are not known."""
        return sum(self.stored.values()) / self.reference_size if self.reference_size else None

    @property
    def floats(self) -> str:
        """The floating point type that most of its bytes in floating point are of."""
        sizes = {kind: size for kind, size in self.stored.items() if "float" in kind}
        return max(sizes, key=lambda kind: sizes[kind], default="float32")
