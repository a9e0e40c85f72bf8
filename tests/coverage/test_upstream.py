"""Defects of libraries that rows of the table fail by, each by its smallest reproduction: an expected failure, red once it is mended."""

from __future__ import annotations

import sys

import pytest
import torch

from converter.backends.traced.form import quiet_torchscript
from tests.coverage import results
from tests.coverage.upstream import DEFECTS, Defect, bug_of


@pytest.mark.xfail(strict=True, raises=RuntimeError, reason="torch 2.13")
def test_torch_traces_a_scatter_of_a_truth_value() -> None:
    def chosen(places: torch.Tensor) -> torch.Tensor:
        return torch.zeros(2, 4, dtype=torch.bool).scatter(1, places, True)

    with quiet_torchscript():
        torch.jit.trace(chosen, torch.zeros(2, 1, dtype=torch.int64))  # type: ignore[no-untyped-call]  # torch's own lacks types


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.reproduction)
def test_a_defect_has_a_reproduction_and_rows_that_fail_by_it(defect: Defect) -> None:
    assert callable(getattr(sys.modules[__name__], defect.reproduction))
    assert defect.summary in {bug_of(result) for result in results.latest().values() if not result.passed}
