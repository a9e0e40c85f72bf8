"""Where the tensors of a safetensors file lie in it, by its header alone: https://huggingface.co/docs/safetensors, "Format"."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

_LENGTH = 8  # bytes of the header's own length, little-endian
_HEADER_LIMIT = 100_000_000  # bytes of the longest header that safetensors itself reads


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file: its dtype as safetensors names it, the byte that it begins at, and how many it has."""

    dtype: str
    offset: int
    length: int


def stored_tensors(path: Path) -> dict[str, StoredTensor]:
    """Each tensor of a safetensors file by its name there. Raises OSError, and ValueError for what is no such file."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        header = file.read(min(length, _HEADER_LIMIT))
    try:
        return {
            name: StoredTensor(tensor["dtype"], _LENGTH + length + start, end - start)
            for name, tensor in json.loads(header).items()
            if name != "__metadata__"
            for start, end in (tensor["data_offsets"],)
        }
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} has no header of safetensors") from error
