"""The contract of a backend: what it is called, which options it takes, how it converts, how its artifact is run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from converter.records import Options, TensorSpec

if TYPE_CHECKING:
    from converter.architectures import OnnxConfig
    from converter.architectures.dummies import Array
    from converter.checkpoints.loading import LoadedModel


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
    def convert(self, model: LoadedModel, config: OnnxConfig, options: Options, folder: Path, preprocessor: Any = None) -> None:
        """Write the artifact of `model` into the empty `folder`. Raises NotSupportedError, ConversionError or OutputError.

        `preprocessor` is the checkpoint's tokenizer, for a configuration that makes its own inputs.
        """

    @abstractmethod
    def open(self, folder: Path) -> Session:
        """Open the artifact in `folder`. Raises ConversionError where it is none."""
