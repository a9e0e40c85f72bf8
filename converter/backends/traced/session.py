"""A written archive, run in a process in which transformers cannot be imported: see `runner.py`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pydantic
import torch

from converter.backends.stored_weight import StoredWeight
from converter.backends.traced import runner
from converter.core.errors import ConversionError
from converter.core.records import Signature
from converter.core.typing import Array

_PREFIX = "model."  # ExportWrapper's attribute


def start_runner(arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `runner.py` in a fresh interpreter, without its folder in the path."""
    command = [sys.executable, "-P", runner.__file__, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)  # noqa: S603 - our own file


class ArchiveSession:
    """An archive, opened in a separate process. Raises ConversionError for a damaged one or one without a signature.

    Args:
        path: the archive.
        kind: its name for people.
        runtime: the runtime's name for people.
        modules: modules to import first, such as an SDK with operators.
        by_name: whether its forward has the names of its inputs.
    """

    unrunnable = ""
    notes: Sequence[str] = ()
    has_all_weights = True

    def __init__(self, path: Path, kind: str, runtime: str, modules: Sequence[str] = (), *, by_name: bool = True) -> None:
        self._path = path
        self._kind = kind
        self._by_name = by_name
        self.runtime = runtime
        self._said = os.fdopen(os.memfd_create("said by the runner"), "w+b")  # in memory: there may be no folder to write to
        self._process = start_runner([str(path.absolute()), str(torch.get_num_threads()), *modules], self._said)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        said, _ = self._receive()
        if "error" in said:
            raise ConversionError(
                f"{self._path} is not a {self._kind} archive that torch loads: {said['error'].partition('. ')[0]}",
                "convert the checkpoint again",
            )
        try:
            self.signature = Signature.model_validate_json(said["signature"])
        except pydantic.ValidationError as error:
            raise ConversionError(
                f"{self._path} holds no {runner.SIGNATURE} that this version can read, so nothing says how it is called",
                "convert the checkpoint with this version",
            ) from error
        names = [spec.name for spec in self.signature.inputs]
        if self._by_name and names != said["inputs"]:
            raise ConversionError(
                f"{self._path} takes {', '.join(said['inputs']) or 'nothing'}, and its {runner.SIGNATURE} says {', '.join(names)}",
                "convert the checkpoint again",
            )

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        _, tensors = self._call("run", inputs)
        results = [tensors[str(place)].numpy() for place in range(len(tensors))]
        names = [spec.name for spec in self.signature.outputs]
        if len(names) != len(results):
            raise ConversionError(f"it gives {len(results)} outputs, and its {runner.SIGNATURE} names {len(names)}")
        return dict(zip(names, results, strict=True))

    def time(self, inputs: Mapping[str, Array]) -> float:
        said, _ = self._call("time", inputs)
        return float(said["seconds"])

    def tokens_apart(self, name: str, vocabulary: int) -> Collection[int]:  # noqa: ARG002 - which input they are of is not known
        self._send({"do": "integers"})
        said, _ = self._receive()
        return {token for token in said["integers"] if 0 <= token < vocabulary}

    def changes(self) -> Iterator[str]:
        self._send({"do": "changes"})
        said, _ = self._receive()
        yield from (name.removeprefix(_PREFIX) for name in said["changed"])

    def weights(self) -> Iterator[StoredWeight]:
        self._send({"do": "weights"})
        while True:
            said, tensors = self._receive()
            if said["name"] is None:
                return
            if tensors["tensor"].numel():  # tensors that the code does not use are stored empty
                name = said["name"].removeprefix(_PREFIX)
                yield StoredWeight(name, tensors["tensor"].numpy(), tuple(said["storage"]), is_used=said["used"])

    def close(self) -> None:
        self._process.kill()  # it holds nothing that has to be brought to an end
        self._process.communicate()
        self._said.close()

    def _call(self, what: str, inputs: Mapping[str, Array]) -> runner.Message:
        missing = [spec.name for spec in self.signature.inputs if spec.name not in inputs]
        if missing:
            raise ConversionError(f"{self._kind} does not run it: there is no {', '.join(missing)}")
        self._send(
            {"do": what, "order": [spec.name for spec in self.signature.inputs]},
            {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in inputs.items()},
        )
        said, tensors = self._receive()
        if "error" in said:
            raise ConversionError(f"{self._kind} does not run it: {said['error']}")
        return said, tensors

    def _send(self, said: Mapping[str, Any], tensors: Mapping[str, torch.Tensor] | None = None) -> None:
        assert self._process.stdin
        try:
            runner.send(self._process.stdin, said, tensors)
        except BrokenPipeError:
            raise self._ended() from None

    def _receive(self) -> runner.Message:
        assert self._process.stdout
        try:
            return runner.receive(self._process.stdout)
        except EOFError:
            raise self._ended() from None

    def _ended(self) -> ConversionError:
        code = self._process.wait()
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self._said.seek(0)
        words = self._said.read().decode(errors="replace").strip().splitlines()
        detail = f": {words[-1]}" if words else ""
        hint = "run it on a machine with more memory" if code == -signal.SIGKILL else "report it, with what --debug shows"
        return ConversionError(f"the process that runs {self._path} has ended ({cause}){detail}", hint)
