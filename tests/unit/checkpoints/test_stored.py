"""The tensors of a safetensors file lie at the places in its header."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from converter.checkpoints.stored import HEADER_LIMIT, check_header, stored_tensors


def test_the_bytes_at_a_tensors_place_are_the_tensors(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6.0), "b.c": torch.arange(5, dtype=torch.float16).view(5, 1), "none": torch.empty(0)}
    save_file(tensors, tmp_path / "file", {"format": "pt"})
    data = (tmp_path / "file").read_bytes()
    entries = stored_tensors(tmp_path / "file")
    assert {name: entry.dtype for name, entry in entries.items()} == {"a": "F32", "b.c": "F16", "none": "F32"}
    for name, entry in entries.items():
        assert data[entry.offset : entry.offset + entry.length] == tensors[name].numpy().tobytes()


@given(st.one_of(st.binary(max_size=64), st.binary(max_size=64).map(lambda header: len(header).to_bytes(8, "little") + header)))
def test_what_is_no_such_file_is_a_value_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("stored") / "file"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"."):
        stored_tensors(path)


@pytest.mark.parametrize("header", [b"[]", b'{"a": 1}', b'{"a": {"dtype": "F32"}}', b'{"a": {"dtype": "F32", "data_offsets": [0]}}'])
def test_a_header_of_another_kind_is_a_value_error(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match=r"."):
        stored_tensors(path)


_TENSOR = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "header",
    [
        {"a": {**_TENSOR, "dtype": ["F32"]}},  # was a TypeError of the whole batch, when its type was looked up
        {"a": {**_TENSOR, "dtype": "F31"}},
        {"a": {**_TENSOR, "data_offsets": [0, 10**400]}},  # was an OverflowError of the whole batch, when memory was predicted
        {"a": {**_TENSOR, "data_offsets": [0, 4.0]}},
        {"a": {**_TENSOR, "data_offsets": [-4, 0]}},
        {"a": {**_TENSOR, "data_offsets": [4, 0]}},
        {"a": {**_TENSOR, "data_offsets": [0, 8]}},
        {"a": {**_TENSOR, "data_offsets": [2**63, 2**63 + 4]}},
        {"a": {**_TENSOR, "shape": [2**40, 2**40]}},
        {"a": _TENSOR, "b": _TENSOR},  # they overlap
        {"__metadata__": {"a": 1}, "a": _TENSOR},
        {"a": _TENSOR, "__metadata__": {"a": "b"}, "c": []},
    ],
    ids=range(12),
)
def test_a_header_whose_tensors_do_not_lie_in_the_file_is_a_value_error(tmp_path: Path, header: dict[str, Any]) -> None:
    data = json.dumps(header).encode()
    (tmp_path / "file").write_bytes(len(data).to_bytes(8, "little") + data + bytes(4))
    with pytest.raises(ValueError, match=r"."):
        stored_tensors(tmp_path / "file")


@pytest.mark.parametrize("length", [HEADER_LIMIT + 1, 2**63, 2**64 - 1])
def test_a_header_longer_than_any_is_not_read(tmp_path: Path, length: int) -> None:
    (tmp_path / "file").write_bytes(length.to_bytes(8, "little"))
    os.truncate(tmp_path / "file", 2**33)
    with pytest.raises(ValueError, match=f"would have {length} bytes"):
        stored_tensors(tmp_path / "file")


@given(
    st.dictionaries(
        st.text(max_size=3),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "F16", "I64", "F8_E4M3", "", None, 1]),
                "shape": st.lists(st.integers(-1, 2**64), max_size=3) | st.none(),
                "data_offsets": st.lists(st.integers(-1, 16) | st.integers() | st.floats(), max_size=3),
            }
        ),
        max_size=3,
    )
)
def test_whatever_a_header_says_its_tensors_lie_in_the_file(tmp_path_factory: pytest.TempPathFactory, header: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("stored") / "file"
    data = json.dumps(header).encode()
    path.write_bytes(len(data).to_bytes(8, "little") + data + bytes(16))
    try:
        entries = stored_tensors(path)
    except ValueError:
        return
    assert all(8 + len(data) <= entry.offset <= entry.offset + entry.length <= path.stat().st_size for entry in entries.values())


@pytest.mark.parametrize("text", ["<!DOCTYPE html><html>", "Entry not found", "/annex/objects/SHA256E-s90868376"])
def test_a_text_in_place_of_weights_is_told_as_such(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors").write_text(text)
    with pytest.raises(ValueError, match="it is a text, such as a web page"):
        check_header(tmp_path / "model.safetensors")
