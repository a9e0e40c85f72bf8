"""Ties within tolerance are no fault."""

from __future__ import annotations

from tests.support.samples import comparison


def test_ties_are_not_held_against_an_output() -> None:
    assert comparison(top1_agreement=1.0, top1_ties=3).passed
