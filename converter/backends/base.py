"""The contract of a backend: what it is called, which options it takes, how it converts, how its artifact is run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from converter.records import Options, TensorSpec

if TYPE_CHECKING:
    from converter.architectures import OnnxConfig
    from converter.checkpoints.loading import LoadedModel
    from converter.checkpoints.samples import Array


class Session(Protocol):
    """An artifact, opened in its own runtime from the written files alone."""

    runtime: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The outputs by name for inputs by name. Raises ConversionError with the runtime's own words."""

    def weights(self) -> Iterator[tuple[str, Array]]:
        """Each weight that is stored under a name, mapped from the file rather than read into memory."""


class Backend(ABC):
    """One way to deploy a model. A new one is a new module with a subclass, named in `converter.backends`."""

    name: ClassVar[str]
    main_file: ClassVar[str]
    options: ClassVar[type[Options]]
    packages: ClassVar[tuple[str, ...]]
    """The distributions whose versions shape the artifact; a new version of one means converting again."""

    @abstractmethod
    def convert(self, model: LoadedModel, config: OnnxConfig, options: Options, folder: Path) -> None:
        """Write the artifact of `model` into the empty `folder`. Raises ConversionError or OutputError."""

    @abstractmethod
    def open(self, folder: Path) -> Session:
        """Open the artifact in `folder`. Raises ConversionError where it is none."""
