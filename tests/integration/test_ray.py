"""A batch on a real Ray cluster of this machine: the cost of a lost node, a crash or an unshared folder, and the files left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from converter.backends import BACKENDS
from converter.core.errors import UsageError
from converter.core.records import Event, Job, Outcome, Position, Pushed, Source
from converter.executors import node, ray
from converter.executors.batch import Batch
from converter.executors.cluster_messages import Done, Node, Task
from converter.executors.limits import Limits
from converter.executors.memory_prediction import SERVER_BYTES
from converter.executors.shared_folder import SharedFolderProbe
from tests.hub_server import OWNER_TOKEN, HubServer
from tests.support.checkpoints import save_tiny
from tests.support.processes import below

COUNT = 12
ROOT = Path(__file__).parents[2]

# Starts a head without cores and two nodes of one core; tells each node's id and the processes that make it one, then waits.
_PROGRAM = """
import json, sys
from ray.cluster_utils import Cluster

small = {"object_store_memory": 80_000_000, "memory": 4_000_000_000, "include_dashboard": False}
check = {"initial_delay_ms": 0, "period_ms": 500, "timeout_ms": 1000, "failure_threshold": 3}
quick = {f"health_check_{name}": value for name, value in check.items()}
cluster = Cluster(initialize_head=True, head_node_args={**small, "num_cpus": 0, "_system_config": quick})
nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(2)]
raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
print(json.dumps([cluster.address, raylets]), flush=True)
sys.stdin.read()
cluster.shutdown()
"""


class RayCluster:
    """Three nodes on loopback: a head without cores, and two of a core each."""

    def __init__(self, **variables: str) -> None:
        settings = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **variables}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout
        self.address, self.raylets = json.loads(self._process.stdout.readline())

    def kill_node(self, number: int) -> None:
        """Kill all processes of a node at once, like a lost machine."""
        processes = [self.raylets[number], *below(self.raylets[number])]
        for process in processes:
            os.kill(process, signal.SIGKILL)

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """For tests that do not change it."""
    running = RayCluster()
    yield running
    running.close()


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return [save_tiny(folder / str(number), "bert", seed=number) for number in range(COUNT)]


def jobs_of(checkpoints: list[Path], output: Path, **options: Any) -> list[Job]:
    return [
        Job(
            source=Source(name=path.name, folder=path),
            backend="onnx",
            options=BACKENDS["onnx"].options(**options),
            destination=output / path.name / "onnx",
            model_folder=output / path.name,
            position=Position(file="models.txt", line=line),
            cache=Path(os.environ["CONVERTER_CACHE"]),
        )
        for line, path in enumerate(checkpoints, 1)
    ]


class Unobserved:
    def observe(self, index: int, event: Event) -> None:
        pass


def convert(jobs: list[Job], output: Path, address: str, observer: Any = None) -> list[Outcome]:
    output.mkdir(exist_ok=True)
    results = list(ray.run(Batch(jobs), output, observer or Unobserved(), address))
    assert not any(isinstance(item, Pushed) for item in results)
    return [item for item in results if isinstance(item, Outcome)]


def hidden(folder: Path) -> list[str]:
    """What nobody should find: staged files, marks, temporary ones."""
    return [path.as_posix() for path in folder.rglob(".*")]


class KillNode:
    """Kills the node that has entered a job's stage first, once."""

    def __init__(self, cluster: RayCluster, stage: str) -> None:
        self._cluster, self._stage, self.killed = cluster, stage, False
        self.stages: list[tuple[int, str]] = []

    def observe(self, index: int, event: Event) -> None:
        if event.event != "stage-began":
            return
        self.stages.append((index, str(event.stage)))
        if event.stage == self._stage and not self.killed:
            self.killed = True
            self._cluster.kill_node(0)


def test_all_jobs_of_a_batch_come_out_though_a_node_is_lost_and_then_the_last_core(
    checkpoints: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "3")
    cluster = RayCluster()
    try:
        killer = KillNode(cluster, "validate")
        outcomes = convert(jobs_of(checkpoints, tmp_path / "out"), tmp_path / "out", cluster.address, killer)
        assert killer.killed
        assert [outcome.status for outcome in outcomes] == ["converted"] * COUNT, [
            outcome.failure for outcome in outcomes if outcome.failure
        ]
        assert sorted(outcome.model for outcome in outcomes) == sorted(path.name for path in checkpoints)
        assert hidden(tmp_path / "out") == []
        assert len(list((tmp_path / "out").rglob("converter.json"))) == COUNT
        again = convert(jobs_of(checkpoints, tmp_path / "out"), tmp_path / "out", cluster.address)
        assert [outcome.status for outcome in again] == ["skipped"] * COUNT

        monkeypatch.setattr(ray, "_WITHOUT_CORES", 3.0)
        last = replace_all(jobs_of(checkpoints, tmp_path / "lost"), tmp_path / "lost")
        killer = KillNode(cluster, "fetch")
        cluster.raylets.reverse()
        lost = convert(last, tmp_path / "lost", cluster.address, killer)
        assert sorted(outcome.model for outcome in lost) == sorted(path.name for path in checkpoints)
        failures = [outcome.failure for outcome in lost if outcome.failure]
        assert failures and all(failure.kind == "ClusterLost" and "run the same command again" in failure.hint for failure in failures)
        assert hidden(tmp_path / "lost") == []
    finally:
        cluster.close()


def replace_all(jobs: list[Job], output: Path) -> list[Job]:
    """The jobs with an opset that no graph is kept for: they take their time."""
    return [replace(job, options=BACKENDS["onnx"].options(opset=23, profile="documented"), cache=output.parent / "cold") for job in jobs]


def test_a_job_that_is_killed_costs_itself_and_no_other(cluster: RayCluster, checkpoints: list[Path], tmp_path: Path) -> None:
    class KillJob:
        """Kills the process of the first job, on whichever node it is."""

        def observe(self, index: int, event: Event) -> None:
            if (index, event.event, event.stage) == (0, "stage-began", "convert"):
                workers = [child for raylet in cluster.raylets for child in below(raylet)]
                os.kill(next(worker for worker in workers if is_at_work(worker)), signal.SIGKILL)

    jobs = replace_all(jobs_of(checkpoints[:3], tmp_path / "out"), tmp_path / "out")  # or it may have ended when the word of it comes
    outcomes = {outcome.model: outcome for outcome in convert(jobs, tmp_path / "out", cluster.address, KillJob())}
    failed = [outcome.failure for outcome in outcomes.values() if outcome.failure]
    assert [(failure.kind, "SIGKILL" in failure.message) for failure in failed] == [("WorkerDied", True)]
    assert sorted(outcome.status for outcome in outcomes.values()) == ["converted", "converted", "failed"]
    assert hidden(tmp_path / "out") == []


def is_at_work(process: int) -> bool:
    """Whether it was forked for a job: a child of a fork server."""
    return b"forkserver" in Path(f"/proc/{parent_of(process)}/cmdline").read_bytes()


def kill(process: int) -> None:
    with suppress(ProcessLookupError):  # Ray has done it
        os.kill(process, signal.SIGKILL)


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])


def test_an_interruption_ends_the_jobs_and_leaves_nothing(cluster: RayCluster, checkpoints: list[Path], tmp_path: Path) -> None:
    class Interrupt:
        def observe(self, index: int, event: Event) -> None:
            if event.stage == "convert":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(jobs_of(checkpoints[:4], tmp_path / "out", opset=22), tmp_path / "out", cluster.address, Interrupt())
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []
    until = time.monotonic() + 10
    while any(is_at_work(child) for raylet in cluster.raylets for child in below(raylet)):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_an_interruption_sweeps_after_jobs_that_are_killed_before_they_have(
    cluster: RayCluster, checkpoints: list[Path], tmp_path: Path
) -> None:
    class Interrupt:
        """Kills Ray's process of a job, and then the job, which gets no processor in between, as on a busy node."""

        def observe(self, index: int, event: Event) -> None:
            if event.stage == "convert" and event.event == "stage-began":
                for job in [process for raylet in cluster.raylets for process in below(raylet) if is_at_work(process)]:
                    os.kill(job, signal.SIGSTOP)
                    os.kill(parent_of(parent_of(job)), signal.SIGKILL)
                    threading.Timer(2, kill, (job,)).start()
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(replace_all(jobs_of(checkpoints[:1], tmp_path / "out"), tmp_path / "out"), tmp_path / "out", cluster.address, Interrupt())
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


_CANCELLED = """
import _thread, sys
from pathlib import Path
from converter.executors.cluster_messages import Task
from converter.executors.limits import Limits
from converter.executors.node import work
from converter.executors.shared_folder import SharedFolderProbe

probe = SharedFolderProbe(folder=Path(sys.argv[1]), name="mark", token="a")
messages = work(Task(jobs=(), versions={}, limits=Limits(), probe=probe))
next(messages)
try:
    _thread.interrupt_main()
except KeyboardInterrupt:
    print("cancelled")
"""


def test_a_task_can_be_cancelled_on_a_cluster_that_a_script_started_in_the_background(tmp_path: Path) -> None:
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", _CANCELLED, tmp_path]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}).stdout
    assert output == "cancelled\n"


def test_once_halted_what_no_node_has_begun_is_cancelled(cluster: RayCluster, checkpoints: list[Path], tmp_path: Path) -> None:
    seen: list[Outcome] = []
    (tmp_path / "out").mkdir()
    jobs = jobs_of(checkpoints, tmp_path / "out")
    for outcome in ray.run(Batch(jobs, halted=lambda: bool(seen)), tmp_path / "out", Unobserved(), cluster.address):
        assert isinstance(outcome, Outcome)
        seen.append(outcome)
    statuses = [outcome.status for outcome in seen]
    assert len(statuses) == COUNT and set(statuses) == {"converted", "cancelled"}
    assert statuses.count("converted") <= 3  # as many as ran, and one that had just begun


def test_an_output_folder_that_the_node_does_not_see_is_told(tmp_path: Path, checkpoints: list[Path]) -> None:
    probe = SharedFolderProbe(folder=tmp_path, name="mark", token="a")
    (tmp_path / "mark").write_text("of another folder by the same path")
    task = Task(jobs=tuple(jobs_of(checkpoints[:1], tmp_path)), versions={}, limits=Limits(), probe=probe)
    (failure,) = [said.outcome.failure for said in node.work(task) if isinstance(said, Done)]
    assert failure and failure.kind == "NotShared" and "does not see the output folder" in failure.message and "--push" in failure.hint


def test_a_checkpoint_that_the_node_does_not_see_is_told(tmp_path: Path) -> None:
    probe = SharedFolderProbe(folder=tmp_path, name="mark", token="a")
    task = Task(jobs=tuple(jobs_of([tmp_path / "elsewhere"], tmp_path)), versions={}, limits=Limits(), probe=probe)
    (failure,) = [said.outcome.failure for said in node.work(task) if isinstance(said, Done)]
    assert failure and f"{tmp_path / 'elsewhere'} is not there on the node" in failure.message and "share" in failure.hint


def test_a_node_with_other_versions_makes_nothing(tmp_path: Path, checkpoints: list[Path]) -> None:
    probe = SharedFolderProbe(folder=tmp_path, name="mark", token="a")
    task = Task(jobs=tuple(jobs_of(checkpoints[:1], tmp_path)), versions={"onnx": {"torch": "1.0"}}, limits=Limits(), probe=probe)
    (failure,) = [said.outcome.failure for said in node.work(task) if isinstance(said, Done)]
    assert failure and failure.kind == "OtherVersions" and "install the same versions" in failure.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:10001", "nonsense"])
def test_an_address_where_there_is_no_cluster_is_told_soon_and_nothing_is_started(address: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(UsageError, match="nothing was started"):
        convert([], tmp_path, address)
    assert time.monotonic() - began < 15
    assert list(tmp_path.iterdir()) == []


GB = 10**9
NODES = (Node(2, 8 * GB), Node(16, 64 * GB))


@pytest.mark.parametrize(
    ("wanted", "share"),
    [(GB, (1, GB)), (4 * GB, (1, 4 * GB)), (16 * GB, (4, 16 * GB)), (40 * GB, (16, 40 * GB)), (100 * GB, (16, 64 * GB))],
)
def test_a_job_asks_for_its_share_of_the_roomiest_node_and_never_for_more_than_that_has(wanted: int, share: tuple[int, int]) -> None:
    assert ray.demand(wanted - SERVER_BYTES, NODES) == share


def test_a_node_pushes_what_it_has_made_a_model_at_a_time(hub: HubServer, tmp_path: Path) -> None:
    checkpoint = save_tiny(tmp_path / "tiny", "bert", "AutoModelForMaskedLM")
    hub.forget()
    for name in ("org/one", "org/two"):
        hub.add_repository(name, {path.name: path for path in checkpoint.iterdir()})
    variables = hub.environment(tmp_path / "home") | {"HF_TOKEN": OWNER_TOKEN, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    cluster = RayCluster(**variables)
    try:
        (tmp_path / "models.txt").write_text("org/one\norg/two to=onnx,torchscript\n")
        command = [sys.executable, "-m", "converter", "--manifest", "models.txt", "--push", "commit", "--executor", "ray"]
        said = subprocess.run(
            [*command, "--ray-address", cluster.address],
            cwd=tmp_path,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        cluster.close()
    assert said.returncode == 0, said.stdout + said.stderr
    assert "3 converted, 0 unchanged, 0 failed; 2 pushed" in said.stdout
    assert {"onnx/model.onnx", "torchscript/model.pt"} <= set(hub.files("org/two"))
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert [push["artifacts"] for push in report["pushes"]] == [["out/org/one/onnx"], ["out/org/two/onnx", "out/org/two/torchscript"]]
    assert OWNER_TOKEN not in said.stdout + said.stderr + json.dumps(report)


_UNSHARED = """
import sys
from pathlib import Path
from converter.backends import BACKENDS
from converter.executors.limits import Limits
from converter.executors.cluster_messages import Done, Task
from converter.executors.node import work
from converter.executors.batch import Batch
from converter.executors.shared_folder import SharedFolderProbe
from converter.publish.push import Target
from converter.core.records import Job, Pushed, Source

there = Path("/nowhere/that/is/shared")
job = Job(source=Source(name="org/one"), backend="onnx", options=BACKENDS["onnx"].options(profile="documented"),
          destination=there / "a/onnx", model_folder=there / "a")
probe, target = SharedFolderProbe(folder=there, name="mark", token="a"), Target(repository="org/one")
task = Task(jobs=(job,), versions={}, limits=Limits(), probe=probe, target=target)
for said in work(task):
    if isinstance(said, Done):
        print(said.outcome.status, said.outcome.destination, *said.outcome.notes, said.outcome.failure or "", sep="|")
    elif isinstance(said, Pushed):
        print(said.status, *said.artifacts, sep="|")
"""


def test_a_node_that_shares_no_folder_pushes_and_keeps_nothing(hub: HubServer, tmp_path: Path) -> None:
    checkpoint = save_tiny(tmp_path / "tiny", "bert", "AutoModelForMaskedLM")
    hub.forget()
    hub.add_repository("org/one", {path.name: path for path in checkpoint.iterdir()})
    with tempfile.TemporaryDirectory() as own:  # a short path, because a socket lies below it
        variables = hub.environment(tmp_path / "home") | {"HF_TOKEN": OWNER_TOKEN, "PYTHONPATH": str(ROOT), "TMPDIR": own}
        said = subprocess.run([sys.executable, "-c", _UNSHARED], env=os.environ | variables, capture_output=True, text=True, check=False)
        left = [path for path in Path(own).iterdir() if path.name.startswith("converter-")]
    assert len(said.stdout.splitlines()) == 2, said.stdout + said.stderr
    made, pushed = said.stdout.splitlines()
    assert made.startswith("converted|/nowhere/that/is/shared/a/onnx|") and "and deleted there" in made, said.stderr
    assert pushed == "pushed|/nowhere/that/is/shared/a/onnx"
    assert "onnx/model.onnx" in hub.files("org/one")
    assert left == []
