"""Variants: an artifact's files in another precision, their accuracy drop, and whether it is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field

from converter.core.records.base import Count, Record, Text

Tier = Literal["near-lossless", "lossy", "any"]
"""The allowed accuracy drop, smallest first. A variant's own tier is measured, whatever its method."""

TIERS: Mapping[Tier, str] = {"near-lossless": "near-lossless", "lossy": "lossy", "any": "beyond lossy"}
"""The names of measured tiers."""

AccuracyKind = Literal["embeddings", "decisions", "language model"]


class Latency(Record):
    """The time of one call of the artifact and of its reference with the same arrays: a hint, not a benchmark.

    The reference is the checkpoint in PyTorch; for a variant, the float32 file. `seconds` and `reference_seconds` are the least of
    `calls` calls each, made in turn, at the lengths in `axes`, with `threads` threads. A session in a separate process is timed there,
    without the transfer.
    """

    axes: Mapping[str, int]
    seconds: float
    reference_seconds: float
    calls: int
    threads: int


class AccuracyDrop(Record):
    """The accuracy of a variant, measured against its float32 checkpoint on `inputs` texts that served no choice or calibration.

    Embeddings (masked means over the tokens): cosine to the checkpoint's, mean and minimum; `neighbours`, the share of texts with the
    same nearest other text. Decisions (argmax along the last axis) and language models (the next token at each position): `agreement`,
    the share of equal ones, of `decisions`. `flipped_margin` is the largest margin, in probability, of a choice that the variant
    changed. Perplexities are of the text itself. `r2` is 1 - squared errors over squared deviations from the mean of all inputs: a
    constant answer has 0. `distance` orders variants: 1 - mean cosine, or the mean Kullback-Leibler divergence in nats.
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
        """The relative change of the perplexity, as a positive number; None without perplexity."""
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
            yield f"lost margin {self.flipped_margin:.2f}"
        if self.r2 is not None:
            yield f"r2 {self.r2:.1%}"
        if self.perplexity is not None:
            yield f"perplexity {self.perplexity:.4g} instead of {self.reference_perplexity:.4g}"


class Search(Record):
    """The search for layers to leave out: the settings tried, each on `inputs` texts, and the cost."""

    tried: Count
    inputs: Count
    cpu_seconds: float


class Deviation(Record):
    """The largest deviation of an output of a variant from the checkpoint over all cases, relative to the output's spread.

    `median` is over the cases. `worst` is the largest case and `worst_row` the largest row or token, each with its bound: a measured
    multiple of the median, see docs/explanation/precision.md.
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
        """The problems, a clause each."""
        for what, error, bound, case in (
            ("", self.worst, self.bound, self.case),
            (" in one row", self.worst_row, self.row_bound, self.row_case),
        ):
            if not error <= bound:
                yield (f"{self.output} is off by {error:.2g} of its spread{what} ({case}); allowed: {bound:.2g}, median: {self.median:.2g}")


class Variant(Record):
    """One precision of an artifact: its files, stored and computed types, accuracy drop and latency.

    `tier` is measured; the requirement is in the options. `quantized` counts layers and embeddings. `left_out` has the weights' type
    of other layers, by a pattern of names. `float32` has the largest magnitude of layers that stay in float32, by the same patterns.
    `stored` has bytes by the type of the tensors. `custom_metrics` are the figures of a custom metric. `latency` compares with the
    float32 files, as deployed. `size` is the sum of its files in bytes.
    """

    name: Text
    is_base: bool = Field(False, description="whether these are the float32 files that the others were derived from")
    files: tuple[Text, ...]
    size: Count
    reference_size: Count = Field(description="bytes of the float32 files that it was derived from")
    computed: Text
    stored: Mapping[Text, Count]
    quantized: Count = 0
    left_out: Mapping[Text, Text] = {}
    float32: Mapping[Text, float] = Field({}, description="layers of a float16 file in float32 for their range: the largest magnitude")
    calibrated: Count = Field(0, description="texts that calibrated the ranges of activations")
    search: Search | None = None
    required_tier: Tier
    tier: Tier
    accuracy_drop: AccuracyDrop
    deviations: tuple[Deviation, ...] = Field((), description="over all cases, the output with the largest deviation first")
    custom_metrics: Mapping[Text, float | bool] = {}
    latency: Latency | None = None
    runtime: Text
    cpu: Text = Field(description="the processor's features for narrow products")
    problems: tuple[Text, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.problems

    @property
    def accuracy(self) -> AccuracyDrop:
        """The accuracy beside the checkpoint's."""
        return self.accuracy_drop

    @property
    def summary(self) -> str:
        """The size and time relative to the float32 files, in a clause."""
        smaller = f", {self.share:.2f} of the size" if self.share is not None and not self.is_base else ""
        timed = f", {self.latency.seconds / self.latency.reference_seconds:.2f} of the time" if self.latency else ""
        left = "".join(f"; {pattern} in {kind}" for pattern, kind in self.wider.items())
        return f"{TIERS[self.tier]}: {self.measured}{smaller}{timed}{left}"

    @property
    def wider(self) -> Mapping[str, str]:
        """The layers in a wider type, by a pattern of names, and the type."""
        wide = {pattern: f"float32, largest value {largest:.1e}" for pattern, largest in self.float32.items()}
        return {pattern: ", ".join(filter(None, (self.left_out.get(pattern), wide.get(pattern)))) for pattern in (*self.left_out, *wide)}

    @property
    def measured(self) -> str:
        """The accuracy drop and the figures of a custom metric, in a clause."""
        custom_metrics = (
            f"{name} {value if isinstance(value, bool) else format(value, '.4g')}" for name, value in self.custom_metrics.items()
        )
        return ", ".join((self.accuracy_drop.summary, *custom_metrics))

    @property
    def share(self) -> float | None:
        """The bytes of its tensors over the float32 files' bytes; None if unknown."""
        return sum(self.stored.values()) / self.reference_size if self.reference_size else None

    @property
    def floats(self) -> str:
        """The floating point type with the most bytes."""
        sizes = {kind: size for kind, size in self.stored.items() if "float" in kind}
        return max(sizes, key=lambda kind: sizes[kind], default="float32")
