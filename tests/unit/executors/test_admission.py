"""What a job is predicted to take, and what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter.backends import BACKENDS
from converter.executors.admission import BESIDE_WEIGHTS, available_bytes, predicted_bytes
from converter.pipeline import Plan
from converter.records import Checkpoint, Job, Source


def plan(weights: int, dtype: str = "float32", asked: str = "float32") -> Plan:
    source = Source(name="x")
    options = BACKENDS["onnx"].options(dtype=asked)
    return Plan(
        job=Job(source=source, backend="onnx", options=options, destination=Path("out")),
        checkpoint=Checkpoint(
            source=source, identity="1", config={"model_type": "bert", "dtype": dtype}, files={"model.safetensors": weights}
        ),
        versions={},
        key="",
        stages=(),
    )


def test_a_larger_checkpoint_takes_more() -> None:
    assert predicted_bytes(plan(0)) == BESIDE_WEIGHTS
    assert predicted_bytes(plan(10**9)) - BESIDE_WEIGHTS == 1_800_000_000


def test_one_that_is_widened_takes_its_widened_size_and_a_copy() -> None:
    assert predicted_bytes(plan(10**9, "float16")) - BESIDE_WEIGHTS == 5_600_000_000
    assert predicted_bytes(plan(10**9, "float16", "checkpoint")) == predicted_bytes(plan(10**9))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8_192_000),
        ({"memory.max": "max", "memory.current": "5"}, 8_192_000),
        ({"memory.max": "5000", "memory.current": "2000"}, 3000),
        ({"memory.max": "5000", "memory.current": "6000"}, 0),
        ({"memory/memory.limit_in_bytes": "7000", "memory/memory.usage_in_bytes": "6000"}, 1000),
        ({"memory/memory.limit_in_bytes": str(2**63 - 4096), "memory/memory.usage_in_bytes": "6000"}, 8_192_000),
    ],
)
def test_a_container_has_what_its_limit_leaves(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:       16000 kB\nMemAvailable:    8000 kB\n")
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert available_bytes(tmp_path) == expected


def test_this_machine_has_something() -> None:
    assert available_bytes() > 10**8
