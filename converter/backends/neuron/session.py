"""Compiled archives of a folder, each run with the SDK in a separate process; the shape of the inputs chooses the bucket."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from converter.architectures.dummies import MASKED_BY
from converter.backends.neuron import sdk
from converter.backends.neuron.client import compiler_of
from converter.backends.stored_weight import StoredWeight
from converter.backends.traced.archive import read_signature
from converter.backends.traced.session import ArchiveSession
from converter.core.errors import ConversionError, InputError
from converter.core.records import Signature
from converter.core.typing import Array
from converter.padding import choose


class NeuronSession:
    """The archives in `folder`; `main_file` is for the longest texts.

    Raises NotSupportedError if their SDK is not installed, ConversionError if they are damaged.
    """

    has_all_weights = False  # the SDK compiles them into its code

    def __init__(self, folder: Path, main_file: str) -> None:
        self._folder = folder
        self.signature: Signature = read_signature(folder / main_file)
        compiler = compiler_of(folder)
        generation = next((candidate for candidate in sdk.GENERATIONS if candidate.compiler == compiler), sdk.NEURONX)
        self._sdk = sdk.find(generation.targets[0])
        self.runtime = f"{self._sdk.name} {'on a Neuron device' if sdk.has_device() else 'without a device'}"
        self.notes: Sequence[str] = (
            () if sdk.has_device() else (f"{self._sdk.name} ran it without a Neuron device, so a device's results were not measured",)
        )
        self._opened: dict[str, ArchiveSession] = {}
        self._largest = main_file
        try:
            self.unrunnable = "" if sdk.has_device() else self._why_it_does_not_run()
        except BaseException:  # an interruption too: no process is left behind
            self.close()
            raise

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The outputs by name of the smallest bucket for the inputs; the bucket itself refuses other shapes."""
        return self._archive_for(inputs).run(inputs)

    def time(self, inputs: Mapping[str, Array]) -> float:
        return self._archive_for(inputs).time(inputs)

    def tokens_apart(self, name: str, vocabulary: int) -> Collection[int]:
        return {token for archive in self._opened.values() for token in archive.tokens_apart(name, vocabulary)}

    def changes(self) -> Iterator[str]:
        for archive in self._opened.values():
            yield from archive.changes()

    def weights(self) -> Iterator[StoredWeight]:
        """The tensors of an archive; the SDK compiles weights into unreadable code."""
        yield from self._archive(self._largest).weights()

    def close(self) -> None:
        for archive in self._opened.values():
            archive.close()
        self._opened.clear()

    def _archive_for(self, inputs: Mapping[str, Array]) -> ArchiveSession:
        try:
            file = choose(inputs, self.signature).file
        except (InputError, LookupError):
            file = self._largest
        return self._archive(file)

    def _archive(self, file: str) -> ArchiveSession:
        if file not in self._opened:
            path, modules = self._folder / file, (self._sdk.generation.module,)
            self._opened[file] = ArchiveSession(path, "Neuron", self.runtime, modules, by_name=False)
        return self._opened[file]

    def _why_it_does_not_run(self) -> str:
        """The reason why it does not run, in a clause; empty if it runs. Without a device the SDK's CPU backend is tried."""
        shapes = [[self.signature.fixed.get(str(label), 1) for label in spec.shape] for spec in self.signature.inputs]
        masks = set(MASKED_BY.values())
        inputs = {
            spec.name: np.full(shape, int(spec.name in masks), spec.dtype)
            for spec, shape in zip(self.signature.inputs, shapes, strict=True)
        }
        try:
            self.run(inputs)
        except ConversionError as error:
            message = error.message.replace(f"{self._folder}/", "")  # a record tells of no machine's folders
            return f"there is no Neuron device here, and without one {message}"
        return ""
