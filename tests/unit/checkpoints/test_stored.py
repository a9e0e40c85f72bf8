"""Where a safetensors file says that its tensors lie, they lie."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from converter.checkpoints.stored import stored_tensors


def test_the_bytes_at_a_tensors_place_are_the_tensors(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6.0), "b.c": torch.arange(5, dtype=torch.float16).view(5, 1), "none": torch.empty(0)}
    save_file(tensors, tmp_path / "file", {"format": "pt"})
    data = (tmp_path / "file").read_bytes()
    found = stored_tensors(tmp_path / "file")
    assert {name: each.dtype for name, each in found.items()} == {"a": "F32", "b.c": "F16", "none": "F32"}
    for name, each in found.items():
        assert data[each.offset : each.offset + each.length] == tensors[name].numpy().tobytes()


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
