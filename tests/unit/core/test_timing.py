"""What each stage of a job costs."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from converter.core.records import Event, Stage
from converter.core.timing import Stages, anonymous_bytes


def sleep_in_steps(seconds: float) -> None:
    """One long sleep would sample the memory never if the machine pauses as long."""
    for _ in range(round(seconds / 0.01)):
        time.sleep(0.01)


def test_stages_are_told_as_they_begin_and_end_and_kept_in_order_after_those_done_before() -> None:
    events: list[Event] = []
    before = Stage(name="resolve", seconds=1, cpu_seconds=1, peak_anonymous_bytes=1)
    stages = Stages(events.append, [before])
    for name in ("fetch", "convert"):
        with stages.stage(name):
            assert (events[-1].event, events[-1].stage, stages.current) == ("stage-began", name, name)
        cost = stages.done[-1]
        assert (events[-1].event, events[-1].stage, events[-1].seconds) == ("stage-ended", name, cost.seconds)
    assert [event.stage for event in events] == ["fetch", "fetch", "convert", "convert"]
    assert [stage.name for stage in stages.done] == ["resolve", "fetch", "convert"]
    assert stages.done[0] == before


def test_a_stage_that_fails_has_its_cost_and_is_the_current_one() -> None:
    stages = Stages(lambda _: None)
    with pytest.raises(ValueError, match="no"), stages.stage("fetch"):
        raise ValueError("no")
    assert ([stage.name for stage in stages.done], stages.current) == (["fetch"], "fetch")


def test_waiting_costs_seconds_and_no_cpu() -> None:
    stages = Stages(lambda _: None)
    with stages.stage("wait"):
        time.sleep(0.2)
    assert stages.done[0].seconds >= 0.2
    assert stages.done[0].cpu_seconds < 0.15


def test_memory_that_is_given_back_before_the_end_is_in_the_peak() -> None:
    stages = Stages(lambda _: None)
    with stages.stage("large"):
        held = np.ones(60_000_000, np.uint8)
        during = anonymous_bytes()
        sleep_in_steps(0.3)
        del held
        after = anonymous_bytes()
    assert during - after > 50_000_000
    assert stages.done[0].peak_anonymous_bytes > during - 5_000_000


def test_a_process_that_a_stage_starts_is_in_its_cost_and_one_from_before_is_not() -> None:
    hungry = "import sys; held = bytearray(b'x') * 60_000_000; sum(range(8_000_000)); print('!', end='', flush=True); sys.stdin.read()"

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", hungry], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout and process.stdout.read(1) == b"!"
        return process

    before = start()
    stages = Stages(lambda _: None)
    with stages.stage("without"):
        sleep_in_steps(0.1)
    without_it = anonymous_bytes()
    with stages.stage("with"):
        process = start()
        sleep_in_steps(0.3)
        process.communicate()
    before.communicate()
    without, its_own = stages.done
    assert without.peak_anonymous_bytes < without_it + 50_000_000
    assert its_own.peak_anonymous_bytes > without_it + 50_000_000
    assert its_own.cpu_seconds > without.cpu_seconds + 0.05
