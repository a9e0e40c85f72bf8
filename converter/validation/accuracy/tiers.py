"""The bounds of each tier on the accuracy drop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from converter.core.records import AccuracyDrop, Tier


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The least cosine, share of equal neighbours, share of equal decisions, and share of the variance among inputs; the largest lead
    that a choice may have had and lost, in probability; and the part of itself that a perplexity may change by."""

    cosine: float
    neighbours: float
    agreement: float
    r2: float
    margin: float
    perplexity: float

    def of(self, share: float) -> Bounds:
        """Bounds for a share of these."""
        least = {name: 1 - share * (1 - getattr(self, name)) for name in ("cosine", "neighbours", "agreement", "r2")}
        return Bounds(**least, margin=share * self.margin, perplexity=share * self.perplexity)


BOUNDS: Mapping[Tier, Bounds] = {
    "near-lossless": Bounds(cosine=0.999, neighbours=0.97, agreement=0.97, r2=0.99, margin=0.1, perplexity=0.01),
    "lossy": Bounds(cosine=0.99, neighbours=0.90, agreement=0.90, r2=0.90, margin=0.5, perplexity=0.1),
}
"""Cosine and agreement are those at which all-MiniLM-L6-v2 by 8-bit weights and by its best 8-bit products stay, and its worse ones do
not (docs/explanation/precision.md); spread, margin and perplexity are ours."""


def achieved_tier(accuracy_drop: AccuracyDrop) -> Tier:
    """The best tier whose bounds an accuracy drop keeps; `any` if it keeps none."""
    return next((tier for tier in BOUNDS if not any(tier_violations(accuracy_drop, tier))), "any")


def tier_violations(accuracy_drop: AccuracyDrop, tier: Tier, share: float = 1.0) -> Iterator[str]:
    """The violations of a tier's bounds, or of a share of them, a clause each."""
    if tier not in BOUNDS:
        return
    bounds = BOUNDS[tier].of(share)
    for figure, least, what in (
        (accuracy_drop.cosine_min, bounds.cosine, "the cosine of an embedding to the checkpoint's"),
        (accuracy_drop.neighbours, bounds.neighbours, "the share of nearest neighbours that are the same"),
        (accuracy_drop.agreement, bounds.agreement, "the share of decisions that are the same"),
        (accuracy_drop.r2, bounds.r2, "the share of what tells inputs apart that is kept"),
    ):
        if figure is not None and not figure >= least:
            yield f"{what} is {figure:.4g}, and {tier} asks for {least:g}"
    for figure, most, what in (
        (accuracy_drop.flipped_margin, bounds.margin, "the lead of a choice that was lost"),
        (accuracy_drop.perplexity_change, bounds.perplexity, "the change of the perplexity"),
    ):
        if figure is not None and not figure <= most:
            yield f"{what} is {figure:.4g}, and {tier} allows {most:g}"
