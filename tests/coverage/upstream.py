"""Failures whose reason is a defect of a library; the smallest reproduction of each is in test_upstream.py."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.coverage.results import Result


@dataclass(frozen=True)
class Defect:
    """The defect, its library, the pattern of reasons that show it, and the test that reproduces it."""

    summary: str
    pattern: str
    reproduction: str


DEFECTS = (
    Defect(
        summary="torch 2.13: torch.jit.trace has no operator for a scatter of a truth value",
        pattern=r"We don't have an op for aten::scatter but it isn't a special case\. Argument types: Tensor, int, Tensor, bool",
        reproduction="test_torch_traces_a_scatter_of_a_truth_value",
    ),
)


def bug_of(result: Result) -> str:
    """The known defect behind a failure, in a clause; empty if unknown."""
    return next((defect.summary for defect in DEFECTS if re.search(defect.pattern, result.reason)), "")
