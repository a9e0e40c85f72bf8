"""A manifest divided over machines."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.backends import BACKENDS
from converter.core.records import Checkpoint, Job, Options, Outcome, Position, Source
from converter.executors.shards import divide, predicted_seconds
from converter.pipeline import Plan
from tests.support.samples import failed, outcome

ONNX = BACKENDS["onnx"].costs


def planned(line: int, gigabytes: float = 0.0, backend: str = "onnx") -> Plan:
    source = Source(name=f"org/{line}")
    job = Job(
        source=source,
        backend=backend,
        options=Options(),
        destination=Path(f"out/{line}/{backend}"),
        position=Position(file="models.txt", line=line),
    )
    files = {"config.json": 500, "model.safetensors": round(gigabytes * 1e9)}
    return Plan(job=job, checkpoint=Checkpoint(source=source, identity="", config={}, files=files), versions={}, key="", stages=())


def done(line: int) -> Outcome:
    return outcome(status="skipped", position=Position(file="models.txt", line=line))


def test_the_largest_models_go_to_different_machines_and_the_small_ones_where_there_is_room() -> None:
    shards = divide([planned(1, 0.1), planned(2, 9), planned(3, 0.1), planned(4, 10)], 2)
    assert [shard.lines for shard in shards] == [[4], [1, 2, 3]]
    assert [shard.number for shard in shards] == [1, 2]


def test_the_backends_of_a_line_stay_together() -> None:
    shards = divide([planned(1, 1), planned(1, 1, "torchscript"), planned(2, 1)], 2)
    assert [shard.lines for shard in shards] == [[1], [2]]
    assert shards[0].seconds == pytest.approx(2 * ONNX.start_seconds + ONNX.seconds_per_gb + BACKENDS["torchscript"].costs.seconds_per_gb)


def test_what_is_done_already_or_cannot_be_done_needs_no_machine_and_is_told_of() -> None:
    cannot = failed(position=Position(file="models.txt", line=3))
    assert [shard.lines for shard in divide([done(1), planned(2), cannot], 8)] == [[1, 2, 3]]
    assert [shard.lines for shard in divide([done(1), cannot], 8)] == [[1, 3]]


def test_what_is_predicted_grows_with_the_weights() -> None:
    assert predicted_seconds(planned(1, 2)) == ONNX.start_seconds + 2 * ONNX.seconds_per_gb


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40), st.integers(1, 12))
def test_every_line_is_in_one_part_and_no_part_ends_later_than_another_by_more_than_one_model(sizes: list[float], wanted: int) -> None:
    plans = [planned(line, size) for line, size in enumerate(sizes, 1)]
    shards = divide(plans, wanted)
    assert len(shards) == min(wanted, len(sizes))
    assert sorted(line for shard in shards for line in shard.lines) == list(range(1, len(sizes) + 1))
    assert all(shard.lines == sorted(shard.lines) for shard in shards)
    ends = [shard.seconds for shard in shards]
    assert max(ends) - min(ends) <= max(map(predicted_seconds, plans)) + 1e-6
    assert sum(ends) == pytest.approx(sum(map(predicted_seconds, plans)))
