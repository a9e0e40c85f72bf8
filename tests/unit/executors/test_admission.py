"""How many jobs run at once: predicted memory, available memory, and the order of starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from converter.backends import BACKENDS
from converter.core.records import Checkpoint, Job, Source
from converter.executors.admission import (
    DEMANDS,
    OF_VARIANTS,
    PATIENCE,
    T5_TIMES,
    Admission,
    admission,
    available_bytes,
    cores,
    predicted_bytes,
)
from converter.pipeline import Plan

GB = 10**9
START, WEIGHTS, LOGITS = DEMANDS["onnx"].start, DEMANDS["onnx"].weights, DEMANDS["onnx"].logits
MEMINFO = "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:    8000 kB\n"


def planned(
    size: int = 0, *, folder: Path | None = None, backend: str = "onnx", config: dict[str, Any] | None = None, **options: Any
) -> Plan:
    """A job whose checkpoint has a file of weights of `size` bytes."""
    source = Source(name="org/name", folder=folder)
    job = Job(source=source, backend=backend, options=BACKENDS[backend].options(**options), destination=Path("out"))
    checkpoint = Checkpoint(
        source=source, identity="", config=config or {}, files={"config.json": 500, "model.safetensors": size}, folder=folder
    )
    return Plan(job=job, checkpoint=checkpoint, versions={}, key="", stages=())


def kernel(root: Path, files: dict[str, str]) -> Path:
    """A folder with the kernel's files about itself."""
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


# --- predicted memory of a job


def test_every_backend_has_a_demand() -> None:
    assert DEMANDS.keys() == BACKENDS.keys()


def test_what_is_predicted_grows_with_the_weights() -> None:
    assert predicted_bytes(planned()) == START
    assert predicted_bytes(planned(GB)) == START + round(WEIGHTS * GB)
    assert predicted_bytes(planned(GB, backend="torchscript")) > predicted_bytes(planned(GB))


def test_a_t5_takes_twice_as_much_in_onnx() -> None:
    assert predicted_bytes(planned(GB, config={"model_type": "t5"})) == START + round(WEIGHTS * T5_TIMES * GB)
    other = planned(GB, backend="torchscript", config={"model_type": "t5"})
    assert predicted_bytes(other) == predicted_bytes(planned(GB, backend="torchscript"))


@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
def test_half_precision_that_is_widened_counts_twice_and_once_more_for_the_copy(key: str) -> None:
    assert predicted_bytes(planned(GB, config={key: "bfloat16"})) == START + round(WEIGHTS * 2 * GB) + 2 * GB
    assert predicted_bytes(planned(GB, config={key: "float32"})) == START + round(WEIGHTS * GB)


def test_half_precision_that_is_kept_is_widened_by_the_runtime() -> None:
    assert predicted_bytes(planned(GB, config={"dtype": "float16"}, dtype="checkpoint")) == START + round(WEIGHTS * 2 * GB) + 2 * GB


@pytest.mark.parametrize(("dtype", "bytes_in_float32", "copied"), [("float32", 4000, 0), ("float16", 4000, 4000), ("float64", 4000, 4000)])
def test_the_headers_of_a_folder_win_over_its_config(tmp_path: Path, dtype: str, bytes_in_float32: int, copied: int) -> None:
    save_file({"weight": np.zeros(1000, dtype=dtype)}, tmp_path / "model.safetensors")
    plan = planned((tmp_path / "model.safetensors").stat().st_size, folder=tmp_path, config={"dtype": "bfloat16"})
    assert predicted_bytes(plan) == START + round(WEIGHTS * bytes_in_float32) + copied


def test_integers_are_not_widened(tmp_path: Path) -> None:
    save_file({"positions": np.arange(1000, dtype="int64")}, tmp_path / "model.safetensors")
    assert predicted_bytes(planned(9000, folder=tmp_path)) == START + round(WEIGHTS * 8000)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 20, b"\x02" + b"\0" * 7 + b"[]", b"\x08" + b"\0" * 7 + b'{"a": 1}', b"\x09" + b"\0" * 7 + b'{"a": {}}']
)
def test_a_header_that_cannot_be_read_is_its_jobs_to_tell_and_the_size_of_the_file_counts(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert predicted_bytes(planned(GB, folder=tmp_path)) == START + round(WEIGHTS * GB)


def test_logits_over_a_vocabulary_count_at_the_longest_text() -> None:
    config = {"vocab_size": 30_000, "max_position_embeddings": 500}
    assert predicted_bytes(planned(GB, config=config, feature="masked-lm")) == START + round(WEIGHTS * GB) + LOGITS * 60_000_000
    assert predicted_bytes(planned(GB, config=config, feature="default")) == START + round(WEIGHTS * GB)
    assert predicted_bytes(planned(config={"vocab_size": 10, "n_positions": 100}, feature="causal-lm")) == START + LOGITS * 4000
    assert predicted_bytes(planned(config={"vocab_size": "many"}, feature="causal-lm-with-past")) == START


# --- available memory


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8_192_000),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "max", "sys/fs/cgroup/memory.current": "5"}, 8_192_000),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "5000", "sys/fs/cgroup/memory.current": "2000"}, 3000),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "5000", "sys/fs/cgroup/memory.current": "6000"}, 0),
        (
            {
                "proc/self/cgroup": "0::/",
                "sys/fs/cgroup/memory.max": "5000",
                "sys/fs/cgroup/memory.current": "4000",
                "sys/fs/cgroup/memory.stat": "anon 500\nactive_file 1000\ninactive_file 2000",
            },
            4000,
        ),
        (
            {
                "proc/self/cgroup": "0::/user/service",
                "sys/fs/cgroup/user/memory.max": "7000",
                "sys/fs/cgroup/user/memory.current": "6000",
                "sys/fs/cgroup/user/service/memory.max": "max",
                "sys/fs/cgroup/user/service/memory.current": "1000",
            },
            1000,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/docker/name\n1:cpu,cpuacct:/docker/name\n0::/",  # the host's name for the group mounted as /
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "7000",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "6000",
                "sys/fs/cgroup/memory/memory.stat": "active_file 1\ninactive_file 1\ntotal_active_file 100\ntotal_inactive_file 200",
            },
            1300,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": str(2**63 - 4096),
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "6000",
            },
            8_192_000,
        ),
    ],
    ids=["no group", "no limit", "a limit", "above it", "files count as free", "a limit further up", "version 1", "version 1 without"],
)
def test_a_container_has_what_its_limit_leaves(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert available_bytes(kernel(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "250000 100000"}, 2),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        (
            {
                "proc/self/cgroup": "1:cpu,cpuacct:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            8,
        ),
    ],
    ids=["no group", "no quota", "two and a half", "half a core", "version 1", "version 1 without"],
)
def test_the_cores_are_those_that_the_process_is_bound_to_or_its_quotas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert cores(kernel(tmp_path, files)) == expected


def test_this_machine_has_something() -> None:
    assert available_bytes() > 10**8
    assert cores() >= 1


# --- which begins


def test_jobs_begin_in_their_order_as_long_as_they_fit() -> None:
    admitted = Admission(workers=3, cores=4, memory=10)
    assert admitted.choose([4, 1], []) == 0
    assert admitted.choose([6, 1], [4]) == 0
    assert admitted.choose([1], [4, 6]) is None
    assert admitted.choose([1], [1, 1, 1]) is None
    assert admitted.choose([], [1]) is None


def test_a_smaller_one_goes_first_where_the_first_has_no_room() -> None:
    assert Admission(workers=3, cores=4, memory=10).choose([7, 8, 6, 1], [4]) == 2


def test_one_that_fits_nowhere_begins_once_nothing_else_runs_and_nothing_begins_beside_it() -> None:
    admitted = Admission(workers=3, cores=4, memory=10)
    assert admitted.choose([99], [1]) is None
    assert admitted.choose([99, 1], []) == 0
    assert admitted.choose([1], [99]) is None


def test_none_is_overtaken_more_often_than_patience_has_it() -> None:
    admitted = Admission(workers=3, cores=4, memory=10)
    assert [admitted.choose([7, 1], [4]) for _ in range(PATIENCE + 1)] == [1] * PATIENCE + [None]
    assert admitted.choose([7, 1], [3]) == 0
    assert admitted.choose([7, 1], [4]) == 1  # the next that waits is not made to pay for it


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 5), st.integers(0, 20))
def test_every_job_has_its_turn_and_what_runs_fits_unless_it_runs_alone(jobs: list[int], workers: int, memory: int) -> None:
    admitted = Admission(workers=workers, cores=4, memory=memory)
    waiting, running, begun = list(enumerate(jobs)), list[int](), list[int]()
    while waiting or running:
        place = admitted.choose([predicted for _, predicted in waiting], running)
        if place is None:
            running.pop(0)  # there is always one to wait for
            continue
        index, predicted = waiting.pop(place)
        begun.append(index)
        running.append(predicted)
        assert len(running) == 1 or (sum(running) <= memory and len(running) <= workers)
    assert sorted(begun) == list(range(len(jobs)))
    for index, place in enumerate(map(begun.index, range(len(jobs)))):
        assert sum(other > index for other in begun[:place]) <= PATIENCE * (index + 1)


@pytest.mark.parametrize(
    ("predicted", "left", "expected"),
    [(1, 100, 1), (50, 100, 4), (100, 100, 8), (101, 100, 8), (0, 1, 8), (1, 3, 2)],
    ids=["small", "half of the memory", "all of it", "more than that", "the last", "one of the last three"],
)
def test_a_job_has_its_share_of_the_cores(predicted: int, left: int, expected: int) -> None:
    assert Admission(workers=8, cores=8, memory=100).threads(predicted, left) == expected


def test_a_number_is_its_users_word_whatever_memory_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("converter.executors.admission.available_bytes", lambda: 0)
    monkeypatch.setattr("converter.executors.admission.cores", lambda: 4)
    policy = admission(3, jobs=9)
    assert [policy.choose([GB], [GB] * running) for running in range(4)] == [0, 0, 0, None]
    assert admission(16, jobs=9).threads(GB, 9) == 1
    assert admission(None, jobs=9).workers == 4
    assert admission(None, jobs=1).workers == 1
    assert admission(None, jobs=0).workers == 1
    assert admission(None, jobs=9).choose([GB], [1]) is None


@pytest.mark.parametrize("figure", [10**400, -(10**400), -1, 0, 10**12, True, 1.5, "120", [1], None], ids=range(10))
def test_a_config_with_figures_of_nothing_is_predicted_all_the_same(figure: object) -> None:
    """The first was an OverflowError, which ended the whole batch."""
    for name in ("vocab_size", "max_position_embeddings", "n_positions"):
        config = {"vocab_size": 100, name: figure}
        assert START <= predicted_bytes(planned(config=config, feature="causal-lm")) < 10**13


def test_variants_take_what_quantizers_take_of_the_weights_in_float32() -> None:
    alone = predicted_bytes(planned(GB))
    assert predicted_bytes(planned(GB, variants=("fp32", "q8"))) == OF_VARIANTS.start + round(OF_VARIANTS.weights * GB) > 3 * alone
    assert predicted_bytes(planned(GB, dtype="float16", config={"dtype": "bfloat16"})) == OF_VARIANTS.start + round(
        OF_VARIANTS.weights * 2 * GB
    )
