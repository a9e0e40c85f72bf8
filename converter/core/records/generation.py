"""The generated tokens of an artifact, compared with transformers'."""

from __future__ import annotations

from pydantic import Field

from converter.core.records.base import Count, Record, Text


class Generation(Record):
    """Greedy generation with the cache fed back.

    `tokens` counts the artifact's tokens, `equal` those that transformers' `generate` chose too. `ties` are other tokens that
    transformers holds for equal within tolerance.
    """

    tokens: Count
    equal: Count
    ties: Count = 0
    lost_lead: float = Field(0.0, description="the most that a token of transformers' was ahead, by its logits, of one chosen in its place")
    error: Text | None = None

    @property
    def passed(self) -> bool:
        return not self.problem

    def by(self, atol: float) -> Generation:
        """Judge by another tolerance of a logit: other tokens are ties if no lead is larger than twice the tolerance."""
        return self.model_copy(update={"ties": self.tokens - self.equal}) if self.problem and self.lost_lead <= 2 * atol else self

    @property
    def problem(self) -> str:
        """The problem, as a clause; empty if there is none."""
        if self.error or not self.tokens:
            return self.error or "it generates nothing"
        others = self.tokens - self.equal - self.ties
        return f"{others} of the {self.tokens} tokens that it generates are not the checkpoint's" if others else ""
