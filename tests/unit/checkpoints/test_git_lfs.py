from __future__ import annotations

from pathlib import Path

import pytest

from converter.checkpoints.fetch import resolve
from converter.core.errors import CheckpointError
from converter.core.records import Source

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 90868376\n"


def checkpoint(folder: Path, *pointers: str) -> Source:
    """A folder with the files of a checkpoint, of which `pointers` were not downloaded."""
    (folder / "config.json").write_text('{"model_type": "bert"}')
    for name in ("model.safetensors", "tokenizer.json", "vocab.txt"):
        (folder / name).write_text("{}")
    for name in pointers:
        (folder / name).write_text(POINTER)
    return Source(name="./it", folder=folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json", "vocab.txt"])
def test_a_pointer_in_place_of_a_needed_file_is_named_before_anything_is_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        resolve(checkpoint(tmp_path, name))
    assert caught.value.message == f"{name} of ./it is a Git LFS pointer, not the file"
    assert caught.value.hint == "run `git lfs pull` in it; in a workflow check out with `lfs: true`"


def test_all_pointers_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        resolve(checkpoint(tmp_path, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "tokenizer.json", "vocab.txt"))
    assert caught.value.message == (
        "model-00001-of-00002.safetensors, model-00002-of-00002.safetensors, tokenizer.json and 1 more of ./it "
        "are Git LFS pointers, not the files"
    )


def test_a_pointer_in_place_of_a_file_that_no_conversion_needs_is_no_problem(tmp_path: Path) -> None:
    source = checkpoint(tmp_path, "pytorch_model.bin", "tf_model.h5", "model.fp16.onnx")
    with pytest.raises(CheckpointError, match=r"the weights in .* are damaged"):  # the file of two letters
        resolve(source)
