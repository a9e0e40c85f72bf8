"""`--weights shared`: an ONNX file of kilobytes that points into the checkpoint's own safetensors, where checker and runtime take it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import transformers
from safetensors.torch import load_file, save_file

from converter.artifacts.record_file import read_record
from converter.backends.onnx import export
from converter.backends.onnx.files import model_file
from converter.core import files
from converter.core.records import Outcome
from converter.publish.artifact import read_artifact
from tests.support.checkpoints import MINILM, save_tiny

INPUTS = {name: np.ones((2, 7), np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "tiny", "bert")


@pytest.fixture
def shared(convert: Callable[..., Outcome]) -> Callable[..., Outcome]:
    def run(folder: Path, destination: Path | None = None, **options: Any) -> Outcome:
        outcome = convert(folder, destination or folder, weights="shared", feature="default", **options)
        assert outcome.failure is None, outcome.failure.message
        return outcome

    return run


def run(path: Path) -> list[np.ndarray[Any, Any]]:
    """The results of a plain session and the checker for a file."""
    onnx.checker.check_model(path, full_check=True)
    return list(ort.InferenceSession(path).run(None, INPUTS))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_beside_its_weights_the_file_adds_less_than_a_megabyte_and_computes_the_same_bit_for_bit(
    tmp_path: Path, shared: Callable[..., Outcome], convert: Callable[..., Outcome]
) -> None:
    folder = tmp_path / "MiniLM"
    shutil.copytree(MINILM, folder, copy_function=shutil.copyfile)
    there, weights = names(folder), (folder / "model.safetensors").read_bytes()
    outcome = shared(folder)
    assert names(folder) - there == {"model.onnx", "converter.json"}
    assert sum((folder / name).stat().st_size for name in names(folder) - there) < 200_000
    assert (folder / "model.safetensors").read_bytes() == weights
    assert (folder / "model.safetensors").stat().st_nlink == 1
    assert outcome.artifact and [file.path for file in outcome.artifact.shared_files] == ["model.safetensors"]
    assert outcome.notes == ()
    convert(folder, tmp_path / "embedded", feature="default")
    for ours, embedded in zip(run(folder / "model.onnx"), run(tmp_path / "embedded" / "model.onnx"), strict=True):
        assert np.array_equal(ours, embedded)
    assert list(tmp_path.rglob(".converter-*")) == []


def test_an_encoder_and_a_decoder_that_are_a_file_each_share_the_same_weights(tmp_path: Path, convert: Callable[..., Outcome]) -> None:
    folder = save_tiny(tmp_path / "t5", "t5", "AutoModelForSeq2SeqLM")
    there = names(folder)
    outcome = convert(folder, folder, weights="shared", profile="hub", feature="seq2seq-lm-with-past")
    assert outcome.artifact and [file.path for file in outcome.artifact.shared_files] == ["model.safetensors"]
    assert outcome.notes == ()
    files_of_it = {"encoder_model.onnx", "decoder_model_merged.onnx"}
    assert names(folder) - there == {*files_of_it, "converter.json"}
    assert (folder / "model.safetensors").stat().st_nlink == 1
    for name in files_of_it:
        onnx.checker.check_model(folder / name, full_check=True)
        ort.InferenceSession(folder / name)


def test_where_the_weights_lie_elsewhere_they_are_copied_as_transformers_js_asks_for_them_and_that_is_told(
    tmp_path: Path, checkpoint: Path, shared: Callable[..., Outcome]
) -> None:
    outcome = shared(checkpoint, tmp_path / "out")
    assert names(tmp_path / "out") == {"model.onnx", "model.onnx_data", "converter.json"}
    assert (tmp_path / "out" / "model.onnx_data").read_bytes() == (checkpoint / "model.safetensors").read_bytes()
    (note,) = outcome.notes
    assert note.startswith("model.safetensors was copied to model.onnx_data: it lies in another folder")
    run(tmp_path / "out" / "model.onnx")


@pytest.mark.parametrize(("link", "why"), [(os.symlink, "it is a link"), (os.link, "it has a second name")])
def test_a_link_is_refused_by_others_so_its_file_is_copied(
    tmp_path: Path, checkpoint: Path, shared: Callable[..., Outcome], link: Callable[[Path, Path], None], why: str
) -> None:
    stored = checkpoint / "model.safetensors"
    stored.rename(tmp_path / "blob")
    link(tmp_path / "blob", stored)
    (note,) = shared(checkpoint).notes
    assert note.startswith(f"model.safetensors was copied to model.onnx_data: {why}")
    assert names(checkpoint) == {"config.json", "converter.json", "model.onnx", "model.onnx_data", "model.safetensors"}
    run(checkpoint / "model.onnx")


def test_weights_in_several_files_are_shared_from_each(tmp_path: Path, checkpoint: Path, shared: Callable[..., Outcome]) -> None:
    folder = tmp_path / "sharded"
    transformers.AutoModel.from_pretrained(checkpoint).save_pretrained(folder, max_shard_size="40KB")
    shards = {path.name for path in folder.glob("*.safetensors")}
    assert len(shards) > 1
    artifact = shared(folder).artifact
    assert artifact and {file.path for file in artifact.shared_files} == shards
    run(folder / "model.onnx")

    artifact = shared(folder, tmp_path / "out").artifact
    assert artifact and artifact.shared_files == ()
    copies = {f"model.onnx_data{f'_{number}' if number else ''}" for number in range(len(shards))}
    assert {file.path for file in artifact.files} == {"model.onnx", *copies}
    run(tmp_path / "out" / "model.onnx")


def test_weights_that_are_widened_are_in_the_file_as_the_checkpoint_does_not_have_them(
    tmp_path: Path, checkpoint: Path, shared: Callable[..., Outcome]
) -> None:
    folder = tmp_path / "halves"
    transformers.AutoModel.from_pretrained(checkpoint).half().save_pretrained(folder)
    outcome = shared(folder)
    artifact = outcome.artifact
    assert artifact and artifact.shared_files == ()
    assert [note.partition(" MB ")[2] for note in outcome.notes] == [
        "of weights are in the ONNX file, because no safetensors file has them in this form"
    ]
    assert artifact.size > 2 * (folder / "model.safetensors").stat().st_size * 0.9
    run(folder / "model.onnx")


def test_it_is_not_done_again_until_the_weights_that_it_points_into_change(
    checkpoint: Path,
    shared: Callable[..., Outcome],
    command: Callable[..., subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shared(checkpoint).status == "converted"
    with monkeypatch.context() as patched:
        patched.setattr(files, "_sha256", lambda path: pytest.fail(f"{path} was read again"))
        assert shared(checkpoint).status == "skipped"
    assert command("validate", checkpoint, "--reference", checkpoint).returncode == 0

    save_tiny(checkpoint, "bert", seed=7)
    said = command("validate", checkpoint, "--reference", checkpoint)
    assert said.returncode == 1
    assert "model.safetensors is not the file that was validated" in said.stdout + said.stderr
    assert shared(checkpoint).status == "converted"


def test_an_artifact_that_replaces_it_leaves_the_checkpoint_its_weights(
    checkpoint: Path, shared: Callable[..., Outcome], convert: Callable[..., Outcome]
) -> None:
    weights = (checkpoint / "model.safetensors").read_bytes()
    shared(checkpoint)
    assert convert(checkpoint, checkpoint, feature="default").failure is None
    assert (checkpoint / "model.safetensors").read_bytes() == weights
    record = read_record(checkpoint)
    assert record and record.shared_files == ()


def test_what_is_lent_to_it_is_pushed_with_it(checkpoint: Path, shared: Callable[..., Outcome]) -> None:
    shared(checkpoint)
    artifact = read_artifact(checkpoint)
    assert [addition.path for addition in artifact.additions()] == ["onnx/model.onnx", "onnx/model.safetensors"]
    assert [file.path for file in artifact.published.files] == ["model.onnx", "model.safetensors"]
    assert artifact.published.shared_files == ()


def test_a_failed_validation_leaves_nothing_and_no_second_name_of_the_weights(checkpoint: Path, convert: Callable[..., Outcome]) -> None:
    there = names(checkpoint)
    outcome = convert(checkpoint, checkpoint, weights="shared", feature="default", atol=1e-30)
    assert outcome.failure and outcome.failure.kind == "ValidationError"
    assert names(checkpoint) == there
    assert (checkpoint / "model.safetensors").stat().st_nlink == 1


def test_a_disk_without_second_names_gets_a_copy(checkpoint: Path, shared: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    (note,) = shared(checkpoint).notes
    assert "its disk gives no file a second name (Operation not permitted)" in note
    run(checkpoint / "model.onnx")


def test_half_precision_that_is_kept_is_shared(tmp_path: Path, checkpoint: Path, shared: Callable[..., Outcome]) -> None:
    folder = tmp_path / "halves"
    transformers.AutoModel.from_pretrained(checkpoint).half().save_pretrained(folder)
    artifact = shared(folder, dtype="checkpoint").artifact
    assert artifact and [file.path for file in artifact.shared_files] == ["model.safetensors"]
    run(folder / "model.onnx")


def test_what_is_copied_and_what_one_file_cannot_hold_lie_apart(
    tmp_path: Path, checkpoint: Path, shared: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two shards is widened, which is too large for one file: here by a limit of one byte."""
    folder = tmp_path / "mixed"
    transformers.AutoModel.from_pretrained(checkpoint).save_pretrained(folder, max_shard_size="40KB")
    first = sorted(folder.glob("*.safetensors"))[0]
    save_file({name: tensor.half() for name, tensor in load_file(first).items()}, first, {"format": "pt"})
    monkeypatch.setattr(export.model_file, "write", partial(model_file.write, single_file_limit=1))
    artifact = shared(folder, tmp_path / "out").artifact
    assert artifact and {file.path for file in artifact.files} >= {"model.onnx", "model.onnx_data", "model.onnx_data_1"}
    run(tmp_path / "out" / "model.onnx")
