"""The bounds of the tiers."""

from __future__ import annotations

from typing import Any

import pytest

from converter.core.records import AccuracyDrop
from converter.validation.accuracy.tiers import BOUNDS, achieved_tier, tier_violations


def accuracy_drop(**figures: Any) -> AccuracyDrop:
    return AccuracyDrop(kind="embeddings", inputs=10, of="texts", distance=0.0, **figures)


@pytest.mark.parametrize(
    ("figures", "tier"),
    [
        ({"cosine_min": 0.9995, "cosine_mean": 0.9999, "neighbours": 0.98}, "near-lossless"),
        ({"cosine_min": 0.9995, "cosine_mean": 0.9999, "neighbours": 0.93}, "lossy"),
        ({"cosine_min": 0.992, "cosine_mean": 0.9999, "neighbours": 0.99}, "lossy"),
        ({"cosine_min": 0.95, "cosine_mean": 0.9999, "neighbours": 0.99}, "any"),
        ({"agreement": 0.98, "decisions": 100, "flipped_margin": 0.05}, "near-lossless"),
        ({"agreement": 0.98, "decisions": 100, "flipped_margin": 0.3}, "lossy"),
        ({"agreement": 0.98, "decisions": 100, "flipped_margin": 0.7}, "any"),
        ({"agreement": 1.0, "decisions": 100, "flipped_margin": 0.0, "r2": 0.2}, "any"),
        ({"agreement": 0.99, "perplexity": 20.1, "reference_perplexity": 20.0}, "near-lossless"),
        ({"agreement": 0.99, "perplexity": 19.0, "reference_perplexity": 20.0}, "lossy"),
        ({"agreement": 0.99, "perplexity": 25.0, "reference_perplexity": 20.0}, "any"),
        ({"agreement": 0.5, "perplexity": 20.0, "reference_perplexity": 20.0}, "any"),
        ({"cosine_min": float("nan"), "cosine_mean": float("nan")}, "any"),
        ({"agreement": 0.99, "perplexity": float("nan"), "reference_perplexity": 20.0}, "any"),
    ],
)
def test_the_tier_is_that_of_the_worst_figure(figures: dict[str, Any], tier: str) -> None:
    assert achieved_tier(accuracy_drop(**figures)) == tier


def test_every_figure_that_is_beyond_its_bound_is_told_with_it() -> None:
    violations = list(tier_violations(accuracy_drop(cosine_min=0.9, cosine_mean=0.99, neighbours=0.5), "lossy"))
    assert violations == [
        "the cosine of an embedding to the checkpoint's is 0.9, and lossy asks for 0.99",
        "the share of nearest neighbours that are the same is 0.5, and lossy asks for 0.9",
    ]
    assert list(tier_violations(accuracy_drop(cosine_min=0.9, cosine_mean=0.99), "any")) == []


def test_a_share_of_a_tier_is_stricter_than_the_tier() -> None:
    half = BOUNDS["lossy"].of(0.5)
    assert (half.cosine, half.agreement, half.margin, half.perplexity) == pytest.approx((0.995, 0.95, 0.25, 0.05))
    assert list(tier_violations(accuracy_drop(cosine_min=0.993, cosine_mean=1), "lossy")) == []
    assert len(list(tier_violations(accuracy_drop(cosine_min=0.993, cosine_mean=1), "lossy", 0.5))) == 1


def test_near_lossless_is_stricter_than_lossy_in_every_bound() -> None:
    near, lossy = (vars(BOUNDS[tier]) for tier in ("near-lossless", "lossy"))
    least, most = ("cosine", "neighbours", "agreement", "r2"), ("margin", "perplexity")
    assert all(near[name] > lossy[name] for name in least)
    assert all(near[name] < lossy[name] for name in most)
    assert {*least, *most} == near.keys()
