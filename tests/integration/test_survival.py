"""Batches that are stopped anywhere, and jobs that crash, hang or take too much: finished work stays, whole, and is done once."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converter.artifacts.integrity import damaged_files
from converter.artifacts.job_log import LOG
from converter.artifacts.record_file import read_record
from converter.core.records import Event
from converter.executors import local
from converter.executors.limits import Limits
from tests.integration.test_local_executor import heed_interruptions, numbered
from tests.support.checkpoints import save_tiny
from tests.support.processes import below, hold

COUNT = 30
SEED = 20261125


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest of thirty checkpoints of one configuration."""
    folder = tmp_path_factory.mktemp("batch")
    for number in range(COUNT):
        save_tiny(folder / f"model{number}", "bert", seed=number)
    (folder / "models.txt").write_text("".join(f"./model{number}\n" for number in range(COUNT)))
    return folder


def start(folder: Path, *arguments: str, manifest: str = "models.txt", **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "converter", "--manifest", manifest, *arguments]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interruptions,
    )


def seen(output: Path) -> dict[str, int]:
    """When each artifact was made, by its folder. Whatever bears a final name has to be whole, with its record and its log."""
    made = {}
    for record_file in output.rglob("converter.json"):
        folder = record_file.parent
        if any(part.startswith(".") for part in folder.relative_to(output).parts):
            continue
        record = read_record(folder)
        assert record and damaged_files(folder, record.needed, trust_mtime=False) == []
        assert damaged_files(folder.parent, record.sidecars, trust_mtime=False) == []
        assert (folder / LOG).is_file()
        made[folder.relative_to(output).as_posix()] = record_file.stat().st_mtime_ns
    finals = {
        path.parent.relative_to(output).as_posix() for path in output.rglob("model.onnx*") if not any(p.startswith(".") for p in path.parts)
    }
    assert finals <= made.keys()
    return made


def test_a_batch_that_is_killed_again_and_again_ends_with_each_artifact_made_once(batch: Path, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    output = tmp_path / "out"
    made: dict[str, int] = {}
    victims = ["parent", "worker", "server", "parent", "term", "parent", "interrupt", "parent"]
    for victim in [*victims, "nobody"]:
        process = start(batch, "--output", str(output), "--jobs", "2", "--retries", "0")
        assert process.stderr
        if victim != "nobody":
            for line in process.stderr:  # the imports are over once a worker speaks
                if line.endswith(": fetch\n"):
                    break
            time.sleep(chance.uniform(0, 1.5))
            started = below(process.pid)
            if victim in ("worker", "server") and started:
                os.kill(started[-1] if victim == "worker" else started[0], signal.SIGKILL)
            else:
                process.send_signal({"term": signal.SIGTERM, "interrupt": signal.SIGINT}.get(victim, signal.SIGKILL))
        process.communicate(timeout=120)
        now = seen(output)
        assert made.items() <= now.items(), f"after {victim}: something was made twice, or is gone"
        made = now
    assert process.returncode == 0
    assert len(made) == COUNT
    assert list(output.rglob(".*")) == []
    logs = [(output / folder / LOG).read_text() for folder in made]
    counts = [log.count("status=converted") for log in logs]
    # a parent that is killed may not come to tell it of its two workers
    assert max(counts) == 1 and sum(counts) >= COUNT - 2 * len(victims)
    assert sorted(path.name for path in output.iterdir() if path.is_file()) == ["report.html", "report.json", "report.md"]


def test_the_workers_of_a_killed_parent_end_and_leave_nothing_staged(tiny: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "tiny").symlink_to(tiny("bert"))
    (tmp_path / "models.txt").write_text("./tiny\n")
    process = start(tmp_path, CONVERTER_CACHE=str(tmp_path / "cold"))  # without a graph it takes its time
    assert process.stderr
    for line in process.stderr:
        if line.endswith(": convert\n"):
            break
    started = below(process.pid)
    process.kill()
    process.communicate()
    until = time.monotonic() + 20
    while [worker for worker in started if Path(f"/proc/{worker}").exists()]:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert list((tmp_path / "out").rglob(".*")) == []
    assert (tmp_path / "out" / "tiny" / "onnx.converter.log").read_text().splitlines()[-1].endswith("status=interrupted")


# A worker that has its job's lock goes on once so many have theirs: as many as there are runs, then twice as many, and so on.
_ROUNDS = """
import itertools, multiprocessing, os, time
from contextlib import suppress
from pathlib import Path
from converter.architectures.families.bert import BertOnnxConfig as Config

if multiprocessing.parent_process():
    folder, runs = Path(os.environ["ROUNDS"]), int(os.environ["RUNS"])
    for place in itertools.count(1):
        with suppress(FileExistsError):
            (folder / str(place)).touch(exist_ok=False)
            break
    until = time.monotonic() + 200
    while len([*folder.iterdir()]) < -(-place // runs) * runs:
        assert time.monotonic() < until, "the other runs are at no job"
        time.sleep(0.05)
"""


@pytest.mark.parametrize("runs", [2, 4])
def test_runs_on_one_output_share_the_work_and_do_nothing_twice(batch: Path, tmp_path: Path, runs: int) -> None:
    (tmp_path / "rounds").mkdir()
    (batch / "rounds.py").write_text(_ROUNDS)
    (batch / "eight.txt").write_text("".join(f"./model{number} config=./rounds.py:Config\n" for number in range(8)))
    arguments = ("--output", str(tmp_path / "out"), "--jobs", "1", "--json")
    variables = {"ROUNDS": str(tmp_path / "rounds"), "RUNS": str(runs)}
    processes = [start(batch, *arguments, manifest="eight.txt", **variables) for _ in range(runs)]
    statuses = []
    for process in processes:
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        statuses.append([outcome["status"] for outcome in json.loads(output)["outcomes"]])
    assert [by_run.count("converted") for by_run in statuses] == [8 // runs] * runs
    for of_job in zip(*statuses, strict=True):
        assert sorted(of_job) == ["converted"] + ["skipped"] * (runs - 1)
    assert len(seen(tmp_path / "out")) == 8
    assert list((tmp_path / "out").rglob(".*")) == []
    assert list((tmp_path / "out").rglob("onnx.converter*.log")) == []


def test_a_run_waits_for_a_job_that_another_run_is_at_only_after_all_others(batch: Path, tmp_path: Path) -> None:
    (batch / "three.txt").write_text("".join(f"./model{number}\n" for number in range(3)))
    other = hold(tmp_path / "out" / "model0" / "onnx")
    process = start(batch, "--output", str(tmp_path / "out"), "--jobs", "1", "--json", manifest="three.txt")
    until = time.monotonic() + 200
    while len([*(tmp_path / "out").rglob("converter.json")]) < 2:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.1)
    other.communicate("")
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0 and errors.count("waiting for another run") == 1, errors
    assert [outcome["status"] for outcome in json.loads(output)["outcomes"]] == ["converted"] * 3
    assert "model0" in json.loads(output)["outcomes"][0]["model"]
    assert list((tmp_path / "out").rglob(".*")) == []


def test_a_run_that_waits_for_another_can_be_interrupted(batch: Path, tmp_path: Path) -> None:
    (batch / "one.txt").write_text("./model0\n")
    other = hold(tmp_path / "out" / "model0" / "onnx")
    process = start(batch, "--output", str(tmp_path / "out"), manifest="one.txt")
    assert process.stderr
    for line in process.stderr:
        if "waiting for another run" in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    other.communicate("")


_FAULTS = """
import ctypes, os, sys, time
import numpy
from converter.architectures.families.bert import BertOnnxConfig

class Fault(BertOnnxConfig):
    def generate_dummy_inputs(self, *arguments, **options):
        return self.fault() or super().generate_dummy_inputs(*arguments, **options)

class Segfault(Fault):
    def fault(self):
        ctypes.string_at(0)

class Abort(Fault):
    def fault(self):
        os.abort()

class Leaves(Fault):
    def fault(self):
        os._exit(0)

class Exits(Fault):
    def fault(self):
        sys.exit(0)

class Hangs(Fault):
    def fault(self):
        while True:
            time.sleep(0.1)

class HangsForGood(Fault):
    def fault(self):
        ctypes.PyDLL(None).sleep(3600)  # a native call that lets no Python run

class Devours(Fault):
    def fault(self):
        held = []
        while True:
            held.append(numpy.empty(1 << 30, numpy.uint8))

class DevoursTensors(Fault):
    def fault(self):
        import torch
        torch.zeros(1 << 50)
"""


def test_whatever_a_job_does_to_itself_it_does_to_no_other(tiny: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "tiny").symlink_to(tiny("bert"))
    (tmp_path / "faults.py").write_text(_FAULTS)
    expected = {
        "Segfault": ("WorkerDied", "SIGSEGV"),
        "Abort": ("WorkerDied", "SIGABRT"),
        "Leaves": ("WorkerDied", "exit code 0"),
        "Exits": ("SystemExit", "SystemExit: 0"),
        "Hangs": ("TimedOut", "it was not done after 20 s, and was ended"),
        "HangsForGood": ("TimedOut", "it was not done after 20 s, and was ended"),
        "Devours": ("MemoryError", "there is not enough memory"),
        "DevoursTensors": ("RuntimeError", "there is not enough memory"),
    }
    lines = [f"./tiny config=./faults.py:{name} output={name} feature=default\n" for name in expected]
    (tmp_path / "models.txt").write_text("".join([*lines[:4], "./tiny output=good\n", *lines[4:], "./tiny output=last\n"]))
    process = start(tmp_path, "--jobs", "2", "--timeout", "20", "--json")
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 1, errors
    outcomes: dict[str, Any] = {Path(outcome["destination"]).parent.name: outcome for outcome in json.loads(output)["outcomes"]}
    assert [outcomes[name]["status"] for name in ("good", "last")] == ["converted"] * 2
    for name, (kind, words) in expected.items():
        failure = outcomes[name]["failure"]
        assert (failure["kind"], failure["stage"]) == (kind, "convert"), (name, failure)
        assert words in failure["message"] and failure["hint"], (name, failure)
    assert "test_survival" not in errors and "Traceback" not in errors
    assert list((tmp_path / "out").rglob(".*")) == []
    said = (tmp_path / "out" / "Segfault" / "onnx.converter.log").read_text()
    assert "Segmentation fault" in said and "faults.py" in said  # the stack, to find out why
    assert "faults.py" in (tmp_path / "out" / "Hangs" / "onnx.converter.log").read_text()


def test_a_disk_that_is_full_in_the_middle_costs_what_does_not_fit(batch: Path, small_disk: Path) -> None:
    process = start(batch, "--output", str(small_disk / "out"), "--jobs", "2", "--json")
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "the disk is full" in errors and "Traceback" not in errors
    made = seen(small_disk / "out")
    assert 0 < len(made) < COUNT
    assert list((small_disk / "out").rglob(".*")) == []
    outcomes = json.loads(output)["outcomes"]  # reported if they cannot be written any more
    assert len(outcomes) == COUNT
    assert [outcome["status"] for outcome in outcomes].count("converted") == len(made)
    failures = [outcome["failure"] for outcome in outcomes if outcome["status"] == "failed"]
    assert len(failures) == COUNT - len(made) and all("the disk is full" in failure["message"] for failure in failures), failures
    shutil.rmtree(small_disk / "out" / "model0")  # some room
    process = start(batch, "--output", str(small_disk / "out"), "--jobs", "2")
    process.communicate(timeout=200)
    again = seen(small_disk / "out")
    assert {name: made[name] for name in made if "model0/" not in name}.items() <= again.items()


class KillOnce:
    """Kills the worker of one job as it enters a stage, the first time."""

    def __init__(self, index: int, stage: str) -> None:
        self._when, self.events = (index, stage), list[Event]()

    def observe(self, index: int, event: Event) -> None:
        self.events.append(event)
        if (index, event.stage, event.event) == (*self._when, "stage-began") and "retry" not in {past.event for past in self.events}:
            for child in below(os.getpid()):
                parent = int(Path(f"/proc/{child}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
                if os.getpgid(child) == child and parent != os.getpid():
                    os.kill(child, signal.SIGKILL)


def test_a_worker_that_is_killed_among_others_is_tried_again_alone(
    tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("converter.executors.local.pause_before", lambda _: 0.2)
    jobs = numbered(tiny("bert"), tmp_path, 3)
    observer = KillOnce(1, "convert")
    outcomes = list(local.run(jobs, 2, observer, limits=Limits(retries=1)))
    assert [outcome.status for outcome in outcomes] == ["converted"] * 3, [outcome.failure for outcome in outcomes]
    retries = [event for event in observer.events if event.event == "retry"]
    assert retries and all("SIGKILL" in str(event.message) for event in retries)
    assert max(outcome.attempts for outcome in outcomes) == 2
