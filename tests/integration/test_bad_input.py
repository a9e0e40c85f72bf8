"""One batch with every problem of a checkpoint: each has its message, and the others go on."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from converter.core.records import Outcome

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def _copy(source: Path, target: Path, **config: object) -> Path:
    """A copy of a checkpoint with other values in its config; None takes a key away."""
    shutil.copytree(source, target)
    path = target / "config.json"
    read = {**json.loads(path.read_text()), **config}
    path.write_text(json.dumps({key: value for key, value in read.items() if value is not None}))
    return target


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("bad-input")
    good = tiny("bert")
    _copy(good, folder / "good")
    _copy(good, folder / "no-model-type", model_type=None)
    _copy(good, folder / "unknown-architecture", model_type="gpt_nobody_made")
    _copy(good, folder / "truncated")
    with open(folder / "truncated" / "model.safetensors", "r+b") as file:
        file.truncate(5000)
    _copy(good, folder / "no-weights").joinpath("model.safetensors").unlink()
    pickled = _copy(good, folder / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    _copy(good, folder / "not-json").joinpath("config.json").write_text("{")
    _copy(good, folder / "other-sizes", hidden_size=64)
    (folder / "empty").mkdir()
    (folder / "models.txt").write_text(
        "\n".join(
            [
                "./missing",
                "./empty",
                "./no-model-type",
                "./unknown-architecture",
                "./good feature=causal-lm-with-past output=no-such-feature",
                "./good feature=token-classification output=no-head",
                "./truncated",
                "./no-weights",
                "./pickled",
                "./not-json",
                "./other-sizes",
                "./good",
            ]
        )
    )
    return folder


WHAT_IS_TOLD = {
    1: "no folder",
    2: "has no config.json",
    3: "has no model_type",
    4: "'gpt_nobody_made' is not supported",
    5: "has no feature 'causal-lm-with-past'",
    6: "the checkpoint has no weights for classifier.bias, classifier.weight",
    7: "damaged or cut short",
    8: "has no model.safetensors",
    9: "pickle",
    10: "is not JSON",
    11: "do not fit its config.json: embeddings.LayerNorm.bias is (32,), not (64,)",
}


def test_each_bad_entry_fails_in_a_sentence_and_the_good_one_is_converted(workspace: Path, command: Run, tmp_path: Path) -> None:
    result = command("--manifest", workspace / "models.txt", "--output", tmp_path / "out", "--json", "--jobs", 2)
    assert result.returncode == 1
    outcomes = {outcome["position"]["line"]: outcome for outcome in json.loads(result.stdout)["outcomes"]}
    assert {line: outcome["status"] for line, outcome in outcomes.items()} == {**dict.fromkeys(range(1, 12), "failed"), 12: "converted"}
    for line, sentence in WHAT_IS_TOLD.items():
        failure = outcomes[line]["failure"]
        assert sentence in failure["message"], failure
        assert failure["hint"] and "\n" not in failure["message"]
        assert f"models.txt:{line}:1: " in result.stderr
    assert "install a version of transformers that has it" in outcomes[4]["failure"]["hint"]
    assert "sequence-classification" in outcomes[5]["failure"]["hint"]
    assert "Traceback" not in result.stderr
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    logs = {outcome["log"] for line, outcome in outcomes.items() if line != 12}
    assert len(logs) == 11 and all(log.endswith("/onnx.converter.log") for log in logs)
    assert {tmp_path / place for place in left if place.endswith(".log")} == {*map(Path, logs), tmp_path / "out/good/onnx/converter.log"}
    assert {place for place in left if (tmp_path / place).is_file() and not place.endswith(".log")} == {
        "out/report.json",
        "out/report.md",
        "out/report.html",
        "out/good/config.json",
        "out/good/onnx/model.onnx",
        "out/good/onnx/converter.json",
    }


def test_a_manifest_that_is_wrong_starts_nothing_and_tells_every_problem(workspace: Path, command: Run, tmp_path: Path) -> None:
    manifest = workspace / "wrong.txt"
    manifest.write_text("./good to=onyx\n./good feature=default atol=much\nno such/thing/at all\n./good opset=7 output=x\n")
    result = command("--manifest", manifest, "--output", tmp_path / "out")
    assert result.returncode == 2
    for place in (
        "wrong.txt:1:8: ",
        "wrong.txt:2:24: ",
        "wrong.txt:3:4: ",
        "wrong.txt:4:8: opset=7: choose an opset from 18 to 25",
    ):
        assert place in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_traceback_is_shown_with_debug(workspace: Path, command: Run, tmp_path: Path) -> None:
    result = command("onnx", "--model", workspace / "truncated", tmp_path / "out", "--debug")
    assert result.returncode == 1
    assert "Traceback" in result.stderr and "SafetensorError" in result.stderr


def test_an_output_that_cannot_be_written_is_told(workspace: Path, command: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = command("onnx", "--model", workspace / "good", tmp_path / "file" / "onnx")
    assert result.returncode == 1
    assert "cannot write to" in result.stderr and "a file is in the place of a folder" in result.stderr


@contextmanager
def _file_size_limit(size: int) -> Iterator[None]:
    """Have the system refuse this process larger files."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("backend", ["onnx", "torchscript"])
def test_a_disk_that_refuses_in_the_middle_leaves_nothing_behind(workspace: Path, command: Run, tmp_path: Path, backend: str) -> None:
    """A limit on the size of files refuses as a full disk does, in the middle of the weights."""
    with _file_size_limit(20_000):
        result = command(backend, "--model", workspace / "good", tmp_path / backend)
    assert result.returncode == 1
    assert "cannot write to" in result.stderr and "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@contextmanager
def _disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk")


@ONLY_ROOT
@pytest.mark.parametrize("backend", ["onnx", "torchscript"])
def test_a_full_disk_is_told_and_leaves_nothing_behind(workspace: Path, command: Run, tmp_path: Path, backend: str) -> None:
    with _disk(tmp_path / "disk", "64k") as disk:
        result = command(backend, "--model", workspace / "good", disk / backend)
        left = list(disk.iterdir())
    assert result.returncode == 1
    assert "the disk is full" in result.stderr
    assert left == []


@ONLY_ROOT
def test_a_disk_of_its_own_or_a_link_to_one_takes_an_artifact_and_then_another(workspace: Path, command: Run, tmp_path: Path) -> None:
    """As `docker run -v disk:/out converter onnx … /out` has it: no rename leads from one disk to another."""
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    with _disk(tmp_path / "disk", "16m") as disk:
        for place, opset in ((disk, 18), (tmp_path / "link", 19), (disk, 20)):
            result = command("onnx", "--model", workspace / "good", "--opset", opset, place)
            assert result.returncode == 0, result.stderr
            assert sorted(path.name for path in disk.iterdir()) == ["converter.json", "model.onnx"]
            assert json.loads((disk / "converter.json").read_text())["options"]["opset"] == opset


def test_a_half_precision_checkpoint_is_widened_or_kept_and_the_record_says_which(
    tiny: Callable[..., Path], convert: Callable[..., Outcome], tmp_path: Path
) -> None:
    checkpoint = tiny("bert", "AutoModel", 0, "float16")
    wide = convert(checkpoint, tmp_path / "wide")
    kept = convert(checkpoint, tmp_path / "kept", dtype="checkpoint")
    assert wide.artifact and wide.artifact.dtype == "float32" and wide.artifact.signature.outputs[0].dtype == "float32", wide.failure
    assert kept.artifact and kept.artifact.dtype == "float16" and kept.artifact.signature.outputs[0].dtype == "float16", kept.failure
    assert kept.artifact.size < 0.75 * wide.artifact.size


def test_bfloat16_is_widened_and_refused_where_it_is_to_be_kept(
    tiny: Callable[..., Path], convert: Callable[..., Outcome], tmp_path: Path
) -> None:
    checkpoint = tiny("bert", "AutoModel", 0, "bfloat16")
    wide = convert(checkpoint, tmp_path / "wide")
    kept = convert(checkpoint, tmp_path / "kept", dtype="checkpoint")
    assert wide.artifact and wide.artifact.dtype == "float32", wide.failure
    assert kept.failure and "bfloat16" in kept.failure.message


def test_a_checkpoint_that_gives_no_number_somewhere_is_told_with_the_inputs(
    tiny: Callable[..., Path], convert: Callable[..., Outcome], tmp_path: Path
) -> None:
    """The last position has no embedding that is a number: only texts as long as the model takes reach it."""
    import transformers

    model = transformers.AutoModel.from_pretrained(tiny("bert"))
    model.embeddings.position_embeddings.weight.data[39] = float("nan")
    model.save_pretrained(tmp_path / "checkpoint")
    outcome = convert(tmp_path / "checkpoint")
    assert outcome.status == "failed" and outcome.failure
    assert "last_hidden_state cannot be judged: the checkpoint itself gives NaN at batch 3, sequence 40 (tokens)" in str(outcome.failure)
    assert outcome.failure.hint == "check the checkpoint: PyTorch gives NaN for it too"
