"""The archive on disk: as torch saves it, without traces of the machine.

torch records the source line of each operation. Errors would show another machine's paths, and the same model would be a different
file on each machine. Without the records, errors show the archive's own code.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pydantic
import torch

from converter.backends.traced.runner import SIGNATURE, tensors_of
from converter.core.errors import ConversionError
from converter.core.output_errors import output_error
from converter.core.reason import reason
from converter.core.records import Signature

_CODE, _CODE_OF_A_MODULE = 1 << 20, 3 << 10
"""Bytes that an archive has beside its tensors, at most, and more for each module: its code and torch's notes on it have about 2 kB."""

_OF_THE_MACHINE = (".debug_pkl", "traced_inputs.pkl")
_OF_THE_WRITER = (".data/version", "version", ".data/serialization_id", "byteorder")


def save(traced: torch.jit.ScriptModule, signature: Signature, path: Path, compiled: int = 0) -> None:
    """Write `traced` and its signature. Raises OutputError if the disk refuses, ConversionError if torch does.

    `compiled` is an estimate of the bytes in compiled code.
    """
    tensors = {tensor.data_ptr(): tensor.nbytes for _, tensor in tensors_of(traced)}
    size = sum(tensors.values()) + compiled + _CODE + _CODE_OF_A_MODULE * len(list(traced.modules()))
    whole = path.with_name(f"{path.name}.whole")
    try:
        try:
            for file in (path, whole):
                _reserve(file, size)
        except OSError as error:
            raise output_error(path, error) from error
        try:
            torch.jit.save(traced, str(whole), _extra_files={SIGNATURE: signature.model_dump_json(indent=2)})
        except RuntimeError as error:
            raise ConversionError(f"the trace cannot be saved: {reason(error)}", "--debug shows torch's whole message") from error
        _copy(whole, path)
    finally:
        whole.unlink(missing_ok=True)


def read_signature(path: Path) -> Signature:
    """The signature of the archive at `path`, without loading it. Raises ConversionError without one."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((member for member in archive.namelist() if member.endswith(f"/extra/{SIGNATURE}")), "")
            return Signature.model_validate_json(archive.read(name))
    except (OSError, KeyError, zipfile.BadZipFile, pydantic.ValidationError) as error:
        raise ConversionError(
            f"{path} holds no {SIGNATURE} that this version can read, so nothing says how it is called",
            "convert the checkpoint with this version",
        ) from error


def _reserve(path: Path, size: int) -> None:
    """Reserve disk space for a file of this size: torch's writer ends the whole process if a write fails."""
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def _copy(source: Path, target: Path) -> None:
    """Copy an archive, its tensors straight from the mapped file, without the records that tell of a machine."""
    reader, writer = torch._C.PyTorchFileReader(str(source)), torch._C.PyTorchFileWriter(str(target))
    version = next(name for name in reader.get_all_records() if name in (".data/version", "version"))
    writer.set_min_version(int(reader.get_record(version)))  # the version of its operators
    with zipfile.ZipFile(source) as archive:  # torch 2.9, which Neuron's SDK goes with, does not tell a record's size
        sizes = {record.filename.partition("/")[2]: record.file_size for record in archive.infolist()}
    mapped = torch.UntypedStorage.from_file(str(source), False, source.stat().st_size)
    for name in reader.get_all_records():
        if name.endswith(_OF_THE_MACHINE) or name.startswith("traced_inputs/") or name in _OF_THE_WRITER:
            continue
        start, size = reader.get_record_offset(name), sizes[name]  # type: ignore[attr-defined]  # torch's stub lacks it
        if name.startswith(("data/", "constants/")):
            writer.write_record(name, mapped[start : start + size], size)
        else:  # text is compressed, so it has no fixed place
            writer.write_record(name, reader.get_record(name), size)
    writer.write_end_of_file()
