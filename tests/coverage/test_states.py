"""No call changes the outputs of a sample of model types; for known exceptions it is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.coverage.rows import Row
from tests.coverage.states import state_of, states
from tests.coverage.test_sample import sample

pytestmark = pytest.mark.coverage


def test_calls_change_nothing_that_matters_of_a_sample() -> None:
    rows = [row for row in sample() if row.backend == "onnx"]
    tried = {row: (changes, problems) for row, changes, problems in states(iter(rows))}
    assert not [changes for changes, _ in tried.values() if changes and changes[0].startswith("not tried")]
    assert {row: problems for row, (_, problems) in tried.items() if problems} == {}


def test_reformer_which_sets_its_buckets_at_the_first_call_is_noticed(tmp_path: Path) -> None:
    changes, (problem,) = state_of(Row("reformer", "masked-lm", "onnx"), tmp_path / "checkpoint")
    assert any(change.startswith("config.num_buckets was ") for change in changes)
    assert "config.num_buckets was " in problem and 'set "num_buckets": ' in problem


def test_a_big_bird_that_is_too_short_for_sparse_attention_changes_nothing_that_matters(tmp_path: Path) -> None:
    changes, problems = state_of(Row("big_bird", "masked-lm", "onnx"), tmp_path / "checkpoint")
    assert any("attention_type was 'block_sparse' and is 'original_full'" in change for change in changes)
    assert problems == []
