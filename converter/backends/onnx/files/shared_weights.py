"""`--weights shared`: an ONNX file that refers to the checkpoint's safetensors and has none of their bytes.

ONNX Runtime and onnx.checker read external data only from regular files in the same folder; the checker refuses files with a second
name. So the graph refers to the checkpoint's file in its folder, or, in another folder, to a copy.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from converter.backends.onnx.files.model_file import Place, free_data_file
from converter.checkpoints.stored import stored_tensors
from converter.core.output_errors import output_error

_HEAD = 64  # bytes that distinguish most tensors of one size
_WORTH_TELLING = 1_000_000  # bytes of weights in a graph that is to hold none; tables of positions are fewer


@dataclass(frozen=True)
class Sharing:
    """The `places` of weights in external files; `shared_files` belong to the checkpoint. `notes` list weights that cannot be shared."""

    places: Mapping[str, Place]
    shared_files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def share(weights: Mapping[str, torch.Tensor], checkpoint: Path | None, staged: Path, place: Path) -> Sharing:
    """Put the safetensors of `checkpoint` that hold `weights` beside the graph `staged`, which will lie in the folder `place`.

    A file that lies in `place` is linked, to be there while the graph is tried; any other is copied. Raises OutputError.
    """
    places = dict(_find(weights, sorted(checkpoint.glob("*.safetensors")))) if checkpoint else {}
    names: dict[Path, str] = {}
    shared_files: list[str] = []
    notes: list[str] = []
    for file in dict.fromkeys(file for file, _ in places.values()):
        refusal = "" if _is_linked(file, staged.parent, place) else _refusal(file, place) or _link(file, staged.parent)
        if refusal:
            names[file] = _copied(file, staged)
            notes.append(f"{file.name} was copied to {names[file]}: {refusal}")
        else:
            names[file] = file.name
            shared_files.append(file.name)
    alone = [tensor.nbytes for name, tensor in weights.items() if name not in places]
    if sum(alone) > _WORTH_TELLING or not places:
        notes.append(f"{sum(alone) / 1e6:.1f} MB of weights are in the ONNX file, because no safetensors file has them in this form")
    return Sharing({name: Place(names[file], offset) for name, (file, offset) in places.items()}, tuple(shared_files), tuple(notes))


def _find(weights: Mapping[str, torch.Tensor], files: list[Path]) -> Iterator[tuple[str, tuple[Path, int]]]:
    """The file and the offset of each weight that stands in one of `files`, bit for bit in its own type, by whichever name."""
    stored: dict[tuple[str, int, bytes], list[tuple[Path, int, torch.Tensor]]] = defaultdict(list)
    for file in files:
        with suppress(ValueError):  # no weights of this model, or they would not have been loaded
            for tensor in stored_tensors(file).values():
                if tensor.length:
                    data = torch.from_numpy(np.memmap(file, np.uint8, "c", tensor.offset, tensor.length))
                    stored[tensor.dtype, tensor.length, _head(data)].append((file, tensor.offset, data))
    for name, weight in weights.items():
        if weight.nbytes and weight.is_contiguous():
            ours = weight.reshape(-1).view(torch.uint8)
            for file, offset, theirs in stored.get((_dtype(weight), weight.nbytes, _head(ours)), ()):
                if torch.equal(ours, theirs):
                    yield name, (file, offset)
                    break


def _dtype(weight: torch.Tensor) -> str:
    """Its type as safetensors names it: F32, F16, I64, …"""
    dtype = weight.numpy().dtype
    return f"{dtype.kind.upper()}{8 * dtype.itemsize}"


def _head(data: torch.Tensor) -> bytes:
    return data[:_HEAD].numpy().tobytes()


def _refusal(file: Path, place: Path) -> str:
    """The reason why a graph in `place` cannot refer to `file`, in a clause; empty if it can."""
    there = place / file.name
    if not there.is_file() or not there.samefile(file):
        return "it lies in another folder than the ONNX file, where ONNX Runtime does not read it"
    if there.is_symlink():
        return "it is a link, which ONNX Runtime does not follow"
    if there.stat().st_nlink > 1:
        return "it has a second name, a hard link, which onnx.checker refuses"
    return ""


def _is_linked(file: Path, folder: Path, place: Path) -> bool:
    """Whether another graph of the same artifact has linked a file to `folder` already, and it is not there by itself."""
    link = folder / file.name
    return folder.resolve() != place.resolve() and link.exists() and link.samefile(file)


def _link(file: Path, folder: Path) -> str:
    """Give a file a second name in `folder` for a while; yield why that failed, in a clause, or an empty text."""
    try:
        os.link(file, folder / file.name)
    except OSError as error:
        return f"no artifact can be tried with it there, as its disk gives no file a second name ({error.strerror})"
    return ""


def _copied(file: Path, staged: Path) -> str:
    """The name beside `staged` that a file is copied to."""
    copy = free_data_file(staged)
    try:
        shutil.copyfile(file, copy)
    except OSError as error:
        raise output_error(copy, error) from error
    return copy.name
