"""The contract of a backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from converter.backends.artifact_files import ArtifactFiles
from converter.backends.card_text import CardText
from converter.backends.costs import UNMEASURED, Costs
from converter.backends.preflight import Preflight
from converter.backends.result import ConversionResult
from converter.backends.session import Session
from converter.backends.variants import Variants
from converter.core.errors import NotSupportedError
from converter.core.records import Options, Signature
from converter.core.versions import TESTED

if TYPE_CHECKING:
    from converter.architectures import Architecture, OnnxConfig
    from converter.backends.conversion import ConfiguredModel, Conversion
    from converter.checkpoints.loading import LoadedModel


class Backend(ABC):
    """One way to deploy a model. Those in `converter.backends` and those of installed packages have the same contract.

    A subclass sets the first six attributes and writes `convert` and `open`; all else has a default.
    """

    name: ClassVar[str]
    """Its name in a manifest, its command, and the folder of its artifacts."""
    title: ClassVar[str]
    """Its name for people."""
    files: ClassVar[ArtifactFiles]
    options: ClassVar[type[Options]]
    packages: ClassVar[tuple[str, ...]]
    """The distributions whose versions shape the artifact; a new version of one means converting again."""
    card: ClassVar[CardText]

    claim: ClassVar[str] = "validated"
    """The claim of an artifact, in a word or two."""
    tested: ClassVar[Mapping[str, str]] = TESTED
    """By distribution, the versions that it is tested with."""
    costs: ClassVar[Costs] = UNMEASURED
    caches: ClassVar[bool] = False
    """Whether `convert` keeps something in the cache that makes later conversions cheaper."""
    patches_exporter: ClassVar[bool] = False
    """Whether `core.debugging` can switch off patches of the exporter, in case they are at fault."""
    variants: ClassVar[Variants | None] = None
    """Other precisions of its artifacts; None without any."""
    preflight: ClassVar[Preflight | None] = None
    """Its check of a model before a conversion; None without one."""

    @property
    def notice(self) -> str:
        """A notice for every user, printed once per command."""
        return ""

    @property
    def validates_here(self) -> bool:
        """Whether this machine is known to run its artifacts."""
        return True

    @abstractmethod
    def convert(self, configured: ConfiguredModel, conversion: Conversion, folder: Path) -> ConversionResult:
        """Write the artifact of a loaded model into the empty `folder`.

        Args:
            configured: the model, its configuration, and a tokenizer if the configuration needs one.
            conversion: the options, the cache and the artifact's later folder.
            folder: an empty folder.

        Raises:
            NotSupportedError: an option is impossible for the model.
            ConversionError: the model cannot be converted.
            OutputError: the folder cannot be written.
        """

    @abstractmethod
    def open(self, folder: Path) -> Session:
        """Open the artifact in `folder`, in the precision shown to users. Raises ConversionError if it is damaged."""

    def configure(self, architecture: Architecture, model: LoadedModel, options: Options) -> OnnxConfig:
        """The configuration by which `model` is converted and measured. Raises NotSupportedError for a feature that it has not."""
        assert options.feature
        return architecture.configure(model.config, options.feature)

    def attn_implementation(self, onnx_config: type[OnnxConfig]) -> str | None:  # noqa: ARG002 - for subclasses
        """The attention implementation for a conversion; None for transformers' choice."""
        return None

    def check_environment(self, options: Options) -> None:  # noqa: ARG002 - for subclasses
        """Raise NotSupportedError if it cannot convert here, or with these options, before anything is downloaded."""
        missing = [package for package in self.packages if not any(distributions(name=package))]
        if missing:
            raise NotSupportedError(
                f"{self.title} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed here",
                "run it in the converter's own image or environment; the one for Neuron has not all that others need",
            )

    def generated_sidecars(
        self,
        configured: ConfiguredModel,  # noqa: ARG002 - for subclasses
        signature: Signature,  # noqa: ARG002 - as above
        folder: Path,  # noqa: ARG002 - as above
    ) -> Mapping[str, bytes]:
        """Return files by name that clients of the artifact in `folder` need in the model's folder, beside the checkpoint's."""
        return {}

    def read_options(self, folder: Path, requested: Mapping[str, Any]) -> Options:  # noqa: ARG002 - for subclasses
        """Return the `requested` options, and those that the files of an artifact without a record show. Raises ConversionError."""
        return Options.model_validate(requested)
