"""A folder is identified by its contents, and its weights have to be complete."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from converter.checkpoints.fetch import fetch, read_config, resolve
from converter.core import files
from converter.core.errors import CheckpointError
from converter.core.records import Checkpoint, Source
from tests.support.samples import save_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "checkpoint")


def checkpoint_in(folder: Path) -> Checkpoint:
    return resolve(Source(name="./checkpoint", folder=folder))


def test_a_folder_is_its_config_its_files_and_their_digest(folder: Path) -> None:
    checkpoint = checkpoint_in(folder)
    assert checkpoint.model_type == "bert"
    assert set(checkpoint.files) == {"config.json", "vocab.txt", "model.safetensors"}
    assert checkpoint.weight_bytes == (folder / "model.safetensors").stat().st_size
    assert checkpoint.identity.startswith("sha256:")
    assert fetch(checkpoint) == folder


def test_the_digest_is_of_contents_and_not_of_the_place_or_the_time(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    before = checkpoint_in(folder).identity
    folder.rename(moved)
    (moved / "vocab.txt").touch()
    assert checkpoint_in(moved).identity == before


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt"])
def test_one_byte_changed_is_another_checkpoint(folder: Path, name: str) -> None:
    before = checkpoint_in(folder).identity
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    assert checkpoint_in(folder).identity != before


def test_a_known_file_that_nobody_has_touched_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(name="./checkpoint", folder=folder)
    first = resolve(source)
    read: list[str] = []
    sha256 = files._sha256
    monkeypatch.setattr(files, "_sha256", lambda path: read.append(path.name) or sha256(path))
    assert resolve(source, known=first.described).identity == first.identity
    assert read == []

    (folder / "vocab.txt").touch()
    with open(folder / "model.safetensors", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    assert resolve(source, known=first.described).identity != first.identity
    assert sorted(read) == ["model.safetensors", "vocab.txt"]


def test_a_file_more_or_under_another_name_is_another_checkpoint(folder: Path) -> None:
    identities = [checkpoint_in(folder).identity]
    (folder / "merges.txt").write_bytes((folder / "vocab.txt").read_bytes())
    identities.append(checkpoint_in(folder).identity)
    (folder / "merges.txt").unlink()
    (folder / "vocab.txt").rename(folder / "words.txt")  # the same contents in the same order
    identities.append(checkpoint_in(folder).identity)
    assert len(set(identities)) == 3


@pytest.mark.parametrize("name", ["onnx/model.onnx", "README.md", "pytorch_model.bin", "onnx/converter.json", "runs/x/events.out"])
def test_a_file_that_no_conversion_takes_changes_nothing(folder: Path, name: str) -> None:
    before = checkpoint_in(folder)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"anything")
    assert checkpoint_in(folder) == before


def test_shards_and_their_index_are_taken_and_other_weights_are_not(folder: Path) -> None:
    for name in ("model-1.safetensors", "model-2.safetensors", "other.safetensors"):
        (folder / name).write_bytes((folder / "model.safetensors").read_bytes())
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    checkpoint = checkpoint_in(folder)
    assert set(checkpoint.files) == {
        "config.json",
        "vocab.txt",
        "model-1.safetensors",
        "model-2.safetensors",
        "model.safetensors.index.json",
    }
    assert checkpoint.weight_bytes == 2 * (folder / "model-1.safetensors").stat().st_size


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_weights_cut_short_are_told_before_they_are_loaded(folder: Path, kept: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        checkpoint_in(folder)


def test_weights_cut_short_after_they_were_looked_at_are_told_before_they_are_loaded(folder: Path) -> None:
    checkpoint = checkpoint_in(folder)
    os.truncate(folder / "model.safetensors", 100)
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        fetch(checkpoint)


def test_weights_that_are_another_format_are_told(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"PK\x03\x04" * 100)
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        checkpoint_in(folder)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    for missing in (tmp_path / "nothing", tmp_path / ("x" * 300)):
        with pytest.raises(CheckpointError, match=r"no folder|File name too long"):
            checkpoint_in(missing)


def test_a_folder_without_a_config_is_told(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        checkpoint_in(folder)


@pytest.mark.parametrize("config", [b"{}", b"\xff\xfe", b"not json"])
def test_a_folder_with_a_config_that_says_nothing_is_told(folder: Path, config: bytes) -> None:
    (folder / "config.json").write_bytes(config)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        checkpoint_in(folder)


def test_the_config_alone_wants_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert read_config(Source(name="x", folder=folder)) == {"model_type": "bert"}


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "anything", "chat_templates/x.jinja"])
@pytest.mark.parametrize("kind", ["pipe", "device", "nowhere", "loop"])
def test_what_is_neither_a_file_nor_a_folder_is_refused_unread(folder: Path, name: str, kind: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"device": "/dev/zero", "nowhere": folder / "gone", "loop": path}[kind])
    message = "neither a file nor a folder" if kind in ("pipe", "device") else "a link that leads nowhere"
    with pytest.raises(CheckpointError, match=f"{name} is {message}"):
        checkpoint_in(folder)


def test_a_socket_of_git_hinders_nothing(folder: Path) -> None:
    before = checkpoint_in(folder)
    (folder / ".git").mkdir()
    os.mkfifo(folder / ".git" / "fsmonitor--daemon.ipc")
    assert checkpoint_in(folder) == before


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json", "vocab.txt"])
def test_a_file_larger_than_any_of_its_kind_is_refused_unread(folder: Path, name: str) -> None:
    if name.endswith(".index.json"):
        (folder / "model.safetensors").unlink()
    with open(folder / name, "ab") as file:
        file.truncate(2**40)
    with pytest.raises(CheckpointError, match=f"{name} .*(has more than|1,099,511,627,776 bytes)"):
        checkpoint_in(folder)


def test_weights_whose_header_is_wrong_are_not_hashed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_sha256", lambda path: pytest.fail(f"{path} was read"))
    (folder / "model.safetensors").write_bytes(bytes(8))
    os.truncate(folder / "model.safetensors", 2**40)  # a terabyte that takes no room
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        checkpoint_in(folder)


def test_a_file_of_a_checkpoint_is_refused_with_the_way_to_name_it(folder: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        checkpoint_in(folder / "model.safetensors")
    assert caught.value.message.endswith("model.safetensors is a file")
    assert caught.value.hint == "name the folder of the checkpoint"
