"""The simulation of a large batch: its parts respect their limits, and its time follows from them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bench.scaling import NODES, Allowance, Assumed, Cluster, Measured
from converter.backends import BACKENDS

SMALL = Assumed(checkpoints=400)
COSTS = BACKENDS["onnx"].costs
FREE = replace(SMALL, from_hub=False, losses=0.0, network=math.inf, file_server=math.inf)
"""Nothing but cores takes time."""


@pytest.mark.parametrize(("nodes", "at_once"), [(1, 1), (4, 4)])
def test_where_nothing_else_takes_time_the_cores_are_busy_for_as_long_as_the_conversions_take(nodes: int, at_once: int) -> None:
    cluster = Cluster(nodes, replace(FREE, cores=1), Measured(planning=0.0, hashing=0.0, look=0.0)).run()
    conversions = COSTS.start_seconds * FREE.checkpoints + COSTS.seconds_per_gb * cluster.weights / 1e9
    assert cluster.core_seconds == pytest.approx(conversions)
    longest = COSTS.start_seconds + COSTS.seconds_per_gb * 32  # the last may begin as all others end
    assert conversions / at_once <= cluster.clock.now * (1 + 1e-9)
    assert cluster.clock.now <= conversions / at_once + (longest if at_once > 1 else 1e-6)


def test_the_hub_lets_no_more_through_than_its_windows_hold() -> None:
    hub = Allowance(limit=10, window=300.0)
    assert [hub.take(0.0, questions) for questions in (10, 1, 9, 25, 0)] == [0.0, 301.0, 301.0, 1201.0, 0.0]
    assert hub.take(10_000.0, 10) == 10_000.0


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("from_hub", [True, False])
def test_nothing_is_used_for_longer_than_the_batch_takes(nodes: int, from_hub: bool) -> None:
    shares = Cluster(nodes, replace(SMALL, from_hub=from_hub, losses=0.0)).run().shares()
    assert max(shares.values()) <= 1.0 + 1e-9
    assert min(shares.values()) >= 0.0


def test_where_one_may_ask_the_hub_little_more_nodes_do_not_help() -> None:
    few, many = (Cluster(nodes, replace(SMALL, resolved=500)).run().clock.now for nodes in (16, 64))
    assert many == pytest.approx(few, rel=0.1)


def test_every_checkpoint_has_an_outcome_though_nodes_are_lost() -> None:
    cluster = Cluster(4, replace(SMALL, losses=20.0)).run()
    assert cluster.lost > 0
    assert cluster.done + cluster.failed == SMALL.checkpoints
    assert not cluster.tasks
    for machine in cluster.machines:
        assert machine.cores + sum(task.cores for task in machine.running) == SMALL.cores or not machine.up


def test_what_is_lost_too_often_has_failed() -> None:
    cluster = Cluster(4, replace(SMALL, checkpoints=40, losses=400.0)).run()
    assert cluster.failed > 0


def test_the_same_batch_has_the_same_figures_each_time() -> None:
    assert Cluster(4, SMALL).run().clock.now == Cluster(4, SMALL).run().clock.now
