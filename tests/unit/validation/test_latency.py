"""How long a call takes, of both sides: few calls, in turn, at a shape that both compute."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from typing import Any

import numpy as np
import pytest

from converter.core.records import Case, Latency, Signature
from converter.validation.case_inputs import Inputs
from converter.validation.latency import measure_latency

SHORT = Inputs("short", {"batch": 1, "sequence": 2}, {"input_ids": np.zeros((1, 2), np.int64)})
LONG = Inputs("long", {"batch": 2, "sequence": 8}, {"input_ids": np.zeros((2, 8), np.int64)})


class Clock:
    """A clock that only a call moves, so that no test depends on how busy the machine is; `calls` are whose, and how long the inputs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[str, int]] = []


class Side:
    """The artifact or the checkpoint: its calls take the given seconds, in turn, and then always the last."""

    unrunnable, runtime, notes, threads = "", "", (), 3

    def __init__(self, clock: Clock, name: str, *seconds: float, **fixed: int) -> None:
        self.signature = Signature(inputs=(), outputs=(), fixed=fixed)
        self._clock, self._name = clock, name
        self._seconds: Iterator[float] = chain(seconds, repeat(seconds[-1]))

    def time(self, inputs: Mapping[str, Any]) -> float:
        started = self._clock.now
        self.call(inputs)
        return self._clock.now - started

    def call(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        self._clock.now += next(self._seconds)
        self._clock.calls.append((self._name, inputs["input_ids"].shape[1]))
        return {}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    return clock


def measured(artifact: Side, checkpoint: Side, errors: tuple[str | None, ...] = (None, None)) -> Latency | None:
    cases = [Case(name=sample.name, axes=sample.axes, error=error) for sample, error in zip((SHORT, LONG), errors, strict=True)]
    return measure_latency(artifact, checkpoint, (SHORT, LONG), cases)  # type: ignore[arg-type]


def test_both_are_called_in_turn_and_five_times_at_most(clock: Clock) -> None:
    latency = measured(Side(clock, "artifact", 0.001), Side(clock, "checkpoint", 0.002))
    assert clock.calls == [("artifact", 2), ("checkpoint", 2)] * 5
    assert latency
    assert (latency.calls, latency.threads, latency.axes) == (5, 3, SHORT.axes)
    assert (latency.seconds, latency.reference_seconds) == (pytest.approx(0.001), pytest.approx(0.002))


@pytest.mark.parametrize("seconds", [(0.021, 0.001), (0.001, 0.021)])
def test_what_takes_long_on_either_side_is_called_once(clock: Clock, seconds: tuple[float, float]) -> None:
    latency = measured(Side(clock, "artifact", seconds[0]), Side(clock, "checkpoint", seconds[1]))
    assert len(clock.calls) == 2
    assert latency
    assert (latency.calls, latency.seconds, latency.reference_seconds) == (1, *map(pytest.approx, seconds))


def test_no_call_is_made_once_twenty_milliseconds_were_spent_on_a_side(clock: Clock) -> None:
    latency = measured(Side(clock, "artifact", 0.001), Side(clock, "checkpoint", 0.007))
    assert latency and latency.calls == 3


def test_the_least_of_the_calls_counts(clock: Clock) -> None:
    latency = measured(Side(clock, "artifact", 0.015, 0.001, 0.003), Side(clock, "checkpoint", 0.004, 0.002))
    assert latency
    assert (latency.seconds, latency.reference_seconds) == (pytest.approx(0.001), pytest.approx(0.002))


def test_an_artifact_of_one_shape_is_timed_with_inputs_that_fill_it(clock: Clock) -> None:
    latency = measured(Side(clock, "artifact", 0.001, batch=2, sequence=8), Side(clock, "checkpoint", 0.001))
    assert latency and latency.axes == LONG.axes
    assert {length for _, length in clock.calls} == {8}


@pytest.mark.parametrize(
    ("fixed", "errors"), [({}, ("it does not run", None)), ({"sequence": 8}, (None, "no")), ({"sequence": 99}, (None, None))]
)
def test_what_gave_an_error_or_fills_no_shape_is_not_timed(clock: Clock, fixed: dict[str, int], errors: tuple[str | None, ...]) -> None:
    assert measured(Side(clock, "artifact", 0.001, **fixed), Side(clock, "checkpoint", 0.001), errors) is None
    assert clock.calls == []
