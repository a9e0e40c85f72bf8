"""The effect of one input on the outputs."""

from __future__ import annotations

from collections.abc import Iterator

from converter.core.records.base import Record, Text


class Influence(Record):
    """The change of the outputs if one input alone changes, in the checkpoint and in the artifact.

    `where` says whether the call had a past, for a model that has one.
    """

    input: Text
    where: str = ""
    reference_change: float
    artifact_change: float
    passed: bool

    def problems(self) -> Iterator[str]:
        """The problem, as a clause, if there is one."""
        if not self.passed:
            where = f" {self.where}" if self.where else ""
            yield f"the input {self.input!r} matters to the checkpoint ({self.reference_change:.1e}) and not to the artifact{where}"
