"""Workers: what kills one costs its job and nothing else, and an interruption leaves nothing half done."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import forkserver
from pathlib import Path

import pytest

from converter.backends import BACKENDS
from converter.core.records import Event, Job, Source
from converter.executors import local
from converter.executors.memory_prediction import SERVER_BYTES


def victim_and_bystander(checkpoint: Path, output: Path) -> list[Job]:
    return [
        Job(
            source=Source(name=name, folder=checkpoint),
            backend="onnx",
            options=BACKENDS["onnx"].options(profile="documented"),
            destination=output / name / "onnx",
        )
        for name in ("victim", "bystander")
    ]


class KillAt:
    """Kills the worker of one job as it enters a stage, as the system does with one that takes too much memory."""

    def __init__(self, index: int, stage: str) -> None:
        self._when = (index, stage)

    def observe(self, index: int, event: Event) -> None:
        if (index, event.stage) == self._when and event.event == "stage-began":
            (worker,) = multiprocessing.active_children()
            assert worker.pid
            os.kill(worker.pid, signal.SIGKILL)


def test_a_worker_that_is_killed_costs_its_own_job_and_no_other(tiny: Callable[..., Path], tmp_path: Path) -> None:
    jobs = victim_and_bystander(tiny("bert"), tmp_path)
    victim, bystander = sorted(local.run(jobs, 1, KillAt(0, "validate")), key=lambda outcome: outcome.model, reverse=True)
    assert victim.failure and victim.failure.stage == "validate"
    assert "SIGKILL" in victim.failure.message and "memory" in victim.failure.hint
    assert bystander.status == "converted", bystander.failure
    assert (tmp_path / "bystander" / "onnx" / "converter.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bystander"]  # the victim leaves no staged files either


class Command:
    """Reads how the process of a job was started, before its checkpoint is loaded."""

    def __init__(self) -> None:
        self.line = b""

    def observe(self, index: int, event: Event) -> None:
        if event.event == "stage-began" and event.stage == "convert":
            (worker,) = multiprocessing.active_children()
            self.line = Path(f"/proc/{worker.pid}/cmdline").read_bytes()


def test_a_single_job_has_no_server_unless_its_process_runs_batch_after_batch(
    tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_batches", itertools.count())
    for job, start in zip(victim_and_bystander(tiny("bert"), tmp_path), (b"spawn_main", b"forkserver"), strict=True):
        command = Command()
        (outcome,) = local.run([job], None, command)
        assert outcome.status == "converted", outcome.failure
        assert start in command.line


class Together:
    """Knows which jobs run at once: from the fetch, with which a worker begins, to the Outcome."""

    def __init__(self) -> None:
        self.running: set[int] = set()
        self.seen: set[frozenset[int]] = set()
        self.began: list[int] = []

    def observe(self, index: int, event: Event) -> None:
        if event.event == "stage-began" and event.stage == "fetch":
            self.began.append(index)
            self.running.add(index)
            self.seen.add(frozenset(self.running))

    def watch(self, jobs: list[Job], workers: int | None, fail_fast: bool = False) -> list[str]:
        """The statuses of jobs that are run under its eyes, as they come; with `fail_fast` none begins once one has ended."""
        places = {str(job.destination): index for index, job in enumerate(jobs)}
        statuses: list[str] = []
        for outcome in local.run(jobs, workers, self, lambda: fail_fast and bool(statuses)):
            self.running.discard(places[outcome.destination])
            statuses.append(outcome.status)
        return statuses


def as_predicted(monkeypatch: pytest.MonkeyPatch, memory: int, *predicted: int) -> None:
    """Two cores, so much memory, and jobs that are predicted to take so much of it, by the number in their destination."""
    monkeypatch.setattr("converter.executors.machine.cores", lambda: 2)
    monkeypatch.setattr("converter.executors.machine.available_bytes", lambda: memory + SERVER_BYTES)
    monkeypatch.setattr("converter.executors.memory_prediction.predicted_bytes", lambda plan: predicted[int(plan.job.destination.name)])


def numbered(checkpoint: Path, output: Path, count: int) -> list[Job]:
    options = BACKENDS["onnx"].options(profile="documented")
    source = Source(name="tiny", folder=checkpoint)
    return [Job(source=source, backend="onnx", options=options, destination=output / str(number)) for number in range(count)]


@pytest.mark.parametrize(
    ("memory", "predicted", "together"),
    [(10, (6, 6), False), (12, (6, 6), True), (5, (6, 6), False), (10, (1, 11), False), (10, (11, 1), False)],
    ids=["one at a time", "both", "each too large for all", "a small one and one too large", "one too large and a small one"],
)
def test_jobs_run_at_once_where_they_are_predicted_to_fit_and_each_runs(
    tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int, predicted: tuple[int, int], together: bool
) -> None:
    as_predicted(monkeypatch, memory, *predicted)
    observer = Together()
    assert observer.watch(numbered(tiny("bert"), tmp_path, 2), None) == ["converted"] * 2
    assert (frozenset({0, 1}) in observer.seen) == together


def test_a_smaller_job_goes_before_one_that_waits_for_memory(
    tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_predicted(monkeypatch, 10, 6, 9, 4)
    observer = Together()
    assert observer.watch(numbered(tiny("bert"), tmp_path, 3), None) == ["converted"] * 3
    assert sorted(observer.began[:2]) == [0, 2] and observer.began[2] == 1
    assert frozenset({0, 2}) in observer.seen and not any(1 in seen and len(seen) > 1 for seen in observer.seen)


def test_a_number_of_workers_is_not_held_back_by_memory(tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_predicted(monkeypatch, 0, 6, 6)
    observer = Together()
    observer.watch(numbered(tiny("bert"), tmp_path, 2), 2)
    assert frozenset({0, 1}) in observer.seen


def test_once_halted_nothing_that_waits_for_memory_is_started(
    tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_predicted(monkeypatch, 10, 9, 9, 9)
    statuses = Together().watch(numbered(tiny("bert"), tmp_path, 3), None, fail_fast=True)
    assert statuses == ["converted", "cancelled", "cancelled"]


class KillServer(threading.Thread):
    """Kills the server of the workers during its import of torch, as the system does without enough memory."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        forkserver._forkserver._stop()  # the one that other tests have started

    def run(self) -> None:
        while not (pid := forkserver._forkserver._forkserver_pid):
            time.sleep(0.01)
        time.sleep(0.2)
        os.kill(pid, signal.SIGKILL)

    def observe(self, index: int, event: Event) -> None:
        pass


def test_a_server_that_is_killed_costs_the_job_that_it_was_to_start_and_no_other(tiny: Callable[..., Path], tmp_path: Path) -> None:
    jobs = victim_and_bystander(tiny("bert"), tmp_path)
    killer = KillServer()
    killer.start()
    victim, bystander = local.run(jobs, 1, killer)
    assert victim.failure and victim.failure.kind == "NotStarted"
    assert "the one that starts all has ended" in victim.failure.message
    assert bystander.status == "converted", bystander.failure


def test_a_system_that_lets_no_process_start_is_told_as_what_it_is(
    tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("multiprocessing.context.ForkServerProcess.start", start)
    outcomes = list(local.run(victim_and_bystander(tiny("bert"), tmp_path), 2, KillAt(9, "")))
    messages = [outcome.failure.message for outcome in outcomes if outcome.failure]
    assert messages == ["its process could not be started: OSError: [Errno 24] Too many open files"] * 2


def heed_interruptions() -> None:
    """A shell's background processes, and their children, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    "signals",
    [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGINT, signal.SIGTERM, signal.SIGTERM)],
    ids=["SIGINT", "SIGTERM", "a cancelled workflow"],
)
def test_an_interruption_exits_with_130_reports_what_was_done_and_leaves_nothing_half_done(
    signals: Sequence[signal.Signals], tiny: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "tiny").symlink_to(tiny("bert"))
    (tmp_path / "models.txt").write_text("./tiny\n./tiny output=another opset=23\n")  # two graphs that no cache has: they take their time
    command = [sys.executable, "-m", "converter", "--manifest", "models.txt", "--jobs", "1"]
    cold = os.environ | {"CONVERTER_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(
        command, cwd=tmp_path, env=cold, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interruptions
    ) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith("[2/2]") and line.endswith(": convert\n"):
                for number in signals:
                    process.send_signal(number)
                    time.sleep(0.05)
                break
        errors = process.stderr.read()
        process.wait(60)
    assert process.returncode == 130, errors
    assert errors.strip().endswith("interrupted") and "Traceback" not in errors
    outcomes = json.loads((tmp_path / "out" / "report.json").read_text())["outcomes"]
    assert [outcome["status"] for outcome in outcomes] == ["converted"]
    left = [path for path in (tmp_path / "out").rglob("*") if "another" in path.as_posix() or path.name.startswith(".")]
    assert [path.name for path in left if path.is_file()] == ["onnx.converter.log"]
    assert left[-1].read_text().splitlines()[-1].endswith("status=interrupted")
