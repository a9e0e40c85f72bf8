"""The places of tensors in a safetensors file, by its header only: https://huggingface.co/docs/safetensors, "Format"."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from converter.core.files import open_regular

_LENGTH = 8  # bytes of the header's own length, little-endian
HEADER_LIMIT = 32 * 2**20
"""Bytes of the longest header that is read: an honest one has some hundred for each tensor, so that these are 300,000. safetensors itself
reads 100 MB, of which Python makes a gigabyte."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file: its dtype as safetensors names it, the byte that it begins at, and how many it has."""

    dtype: str
    offset: int
    length: int


def check_header(path: Path) -> bytes:
    """The header of a safetensors file, checked against the file's size by safetensors itself.

    Raises OSError, and ValueError for another file.
    """
    from safetensors import SafetensorError, safe_open

    with open_regular(path) as file:
        first = file.read(_LENGTH)
        length = int.from_bytes(first, "little")
        if length > HEADER_LIMIT and first.isascii() and first.decode("ascii").isprintable():
            raise ValueError("it is a text, such as a web page or an error of a download")
        if length > HEADER_LIMIT:
            raise ValueError(f"its header would have {length} bytes, and at most {HEADER_LIMIT} are read")
        header = file.read(length)
    try:
        with safe_open(os.fspath(path), framework="numpy"):
            return header
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def stored_tensors(path: Path) -> dict[str, StoredTensor]:
    """Each tensor of a safetensors file by its name there. Raises as `check_header` does."""
    header = check_header(path)
    return {
        name: StoredTensor(tensor["dtype"], _LENGTH + len(header) + start, end - start)
        for name, tensor in json.loads(header).items()
        if name != "__metadata__"
        for start, end in (tensor["data_offsets"],)
    }
