"""What a job is predicted to take of memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from converter.backends import BACKENDS
from converter.core.records import Checkpoint, Job, Source
from converter.executors.memory_prediction import predicted_bytes
from converter.pipeline import Plan

GB = 10**9
COSTS = BACKENDS["onnx"].costs
START, WEIGHTS, LOGITS = COSTS.memory.start, COSTS.memory.weights, COSTS.memory.logits


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


def test_what_is_predicted_grows_with_the_weights() -> None:
    assert predicted_bytes(planned()) == START
    assert predicted_bytes(planned(GB)) == START + round(WEIGHTS * GB)
    assert predicted_bytes(planned(GB, backend="torchscript")) > predicted_bytes(planned(GB))


def test_a_t5_takes_twice_as_much_in_onnx() -> None:
    assert predicted_bytes(planned(GB, config={"model_type": "t5"})) == START + round(WEIGHTS * 2 * GB)
    other = planned(GB, backend="torchscript", config={"model_type": "t5"})
    assert predicted_bytes(other) == predicted_bytes(planned(GB, backend="torchscript"))


@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
def test_half_precision_that_is_widened_counts_twice_and_once_more_for_the_copy(key: str) -> None:
    assert predicted_bytes(planned(GB, config={key: "bfloat16"})) == START + round(WEIGHTS * 2 * GB) + 2 * GB
    assert predicted_bytes(planned(GB, config={key: "float32"})) == START + round(WEIGHTS * GB)


@pytest.mark.parametrize(("method", "wider"), [("fp8", 4), ("mxfp8", 4), ("mxfp4", 8)])
def test_quantized_weights_count_as_the_floats_that_they_stand_for(method: str, wider: int, tmp_path: Path) -> None:
    config = {"dtype": "bfloat16", "quantization_config": {"quant_method": method}}
    assert predicted_bytes(planned(GB, config=config)) == START + round(WEIGHTS * wider * GB) + wider * GB
    save_file({"blocks": np.zeros(4000, np.uint8)}, tmp_path / "model.safetensors")
    plan = planned(0, folder=tmp_path, config=config)
    assert predicted_bytes(plan) == START + round(WEIGHTS * wider * 4000) + wider * 4000


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


@pytest.mark.parametrize("figure", [10**400, -(10**400), -1, 0, 10**12, True, 1.5, "120", [1], None], ids=range(10))
def test_a_config_with_figures_of_nothing_is_predicted_all_the_same(figure: object) -> None:
    """The first was an OverflowError, which ended the whole batch."""
    for name in ("vocab_size", "max_position_embeddings", "n_positions"):
        config = {"vocab_size": 100, name: figure}
        assert START <= predicted_bytes(planned(config=config, feature="causal-lm")) < 10**13


def test_variants_take_what_quantizers_take_of_the_weights_in_float32() -> None:
    alone, memory = predicted_bytes(planned(GB)), COSTS.variants_memory
    assert memory
    assert predicted_bytes(planned(GB, variants=("fp32", "q8"))) == memory.start + round(memory.weights * GB) > 3 * alone
    halves = predicted_bytes(planned(GB, dtype="float16", config={"dtype": "bfloat16"}))
    assert halves == memory.start + round(memory.weights * 2 * GB)
