"""The contract of a backend: its name, its options, its conversions, and the sessions of its artifacts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatch
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from converter.backends.cache import Cache
from converter.backends.conversion import Conversion
from converter.backends.evaluator import Evaluator
from converter.backends.session import Session
from converter.backends.variant_info import VariantInfo
from converter.core.errors import NotSupportedError
from converter.core.records import Finding, Options, Signature
from converter.core.versions import TESTED

if TYPE_CHECKING:
    from converter.architectures import Architecture, OnnxConfig
    from converter.checkpoints.loading import LoadedModel


class Backend(ABC):
    """One way to deploy a model. A new one is a new module with a subclass, named in `converter.backends`."""

    name: ClassVar[str]
    title: ClassVar[str]
    """How it is written for people."""
    main_file: ClassVar[str]
    generated_sidecar_names: ClassVar[tuple[str, ...]] = ()
    """The files in the model's folder that `generated_sidecars` writes and no checkpoint has. They go with the artifact."""
    client_files: ClassVar[tuple[str, ...]]
    """Patterns of the names of files that its clients load, whoever made them."""
    data_files: ClassVar[tuple[str, ...]] = ()
    """Patterns of the files that these read their tensors from."""
    base_variant: ClassVar[str] = ""
    """The variant that others are derived from; empty if there are no variants."""
    layouts: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """The files of each kind of artifact, if there are others than `main_file`; the last one is shown to users."""
    validation_claim: ClassVar[str] = "validated"
    """The claim of an artifact, in a word or two."""
    options: ClassVar[type[Options]]
    packages: ClassVar[tuple[str, ...]]
    """The distributions whose versions shape the artifact; a new version of one means converting again."""
    tested: ClassVar[Mapping[str, str]] = TESTED
    """By distribution, the versions that it is tested with."""
    library: ClassVar[str]
    """The `library_name` of a repository that holds its artifacts and no checkpoint."""
    usage_snippet: ClassVar[str]
    """Python that loads an artifact from the Hub's REPOSITORY, for its card; a line that names FILE is for each file that is called."""
    patches_exporter: ClassVar[bool] = False
    """Whether `core.debugging` can switch off patches of the exporter, in case they are at fault."""
    caches: ClassVar[bool] = False
    """Whether `convert_with` leaves something that makes later conversions cheaper."""
    checks: ClassVar[bool] = False
    """Whether `check` can say something of a model before it is converted."""
    check_note: ClassVar[str] = ""
    """A clause for every check."""

    @property
    def notice(self) -> str:
        """A notice for every user, printed once per command."""
        return ""

    @property
    def validates_here(self) -> bool:
        """Whether this machine is known to run its artifacts."""
        return True

    def files_of(self, names: Collection[str]) -> tuple[str, ...]:
        """The files to load, in their order, among the `names` of an artifact; empty for other names."""
        return next((layout for layout in self.layouts or ((self.main_file,),) if {*names} >= {*layout}), ())

    def main_file_of(self, names: Collection[str]) -> str | None:
        """The file to show to users, among `names` of one artifact; None for other names."""
        return next(reversed(self.files_of(names)), None)

    def main_file_in(self, folder: Path) -> str | None:
        """The file to show to users, in a folder."""
        return self.main_file_of([name for name in self.file_names if (folder / name).is_file()])

    @property
    def file_names(self) -> tuple[str, ...]:
        """The names that files of its artifacts have which are called."""
        return tuple(name for layout in self.layouts or ((self.main_file,),) for name in layout)

    def is_client_file(self, path: Path) -> bool:
        """Whether clients load the file as they load its artifacts."""
        return any(fnmatch(path.name, pattern) for pattern in self.client_files)

    def configure(self, architecture: Architecture, model: LoadedModel, options: Options) -> OnnxConfig:
        """The configuration by which `model` is converted and measured. Raises NotSupportedError for a feature that it has not."""
        assert options.feature
        return architecture.configure(model.config, options.feature)

    def generated_sidecars(
        self,
        model: LoadedModel,  # noqa: ARG002 - for subclasses
        config: OnnxConfig,  # noqa: ARG002 - as above
        signature: Signature,  # noqa: ARG002 - as above
        folder: Path,  # noqa: ARG002 - as above
    ) -> Mapping[str, bytes]:
        """Return files by name that clients of the artifact in `folder` need in the model's folder, beside the checkpoint's."""
        return {}

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

    def check(self, model: LoadedModel, config: OnnxConfig, options: Options, preprocessor: Any = None) -> Iterator[Finding]:
        """The findings on a model without a conversion, if it `checks`."""
        raise NotImplementedError

    @abstractmethod
    def convert(self, model: LoadedModel, config: OnnxConfig, options: Options, folder: Path, preprocessor: Any = None) -> None:
        """Write the artifact of `model` into the empty `folder`. Raises NotSupportedError, ConversionError or OutputError.

        `preprocessor` is the checkpoint's tokenizer, for a configuration that makes its own inputs.
        """

    def convert_with(
        self,
        cache: Cache | None,  # noqa: ARG002 - for subclasses
        model: LoadedModel,
        config: OnnxConfig,
        options: Options,
        folder: Path,
        preprocessor: Any = None,
        place: Path | None = None,  # noqa: ARG002 - for subclasses
    ) -> Conversion:
        """The same with what earlier conversions left in `cache`, for a backend that `caches`; the artifact goes to the folder `place`."""
        self.convert(model, config, options, folder, preprocessor)
        return Conversion()

    def read_options(self, folder: Path, requested: Mapping[str, Any]) -> Options:  # noqa: ARG002 - for subclasses
        """Return the `requested` options, and those that the files of an artifact without a record show. Raises ConversionError."""
        return Options.model_validate(requested)

    @abstractmethod
    def open(self, folder: Path) -> Session:
        """Open the artifact in `folder`, in the precision shown to users. Raises ConversionError if it is damaged."""

    def variants(self, options: Options) -> tuple[str, ...]:  # noqa: ARG002 - for subclasses
        """The requested precisions, measured by their accuracy drop; empty if the artifact has to match its checkpoint."""
        return ()

    def derive_variant(self, folder: Path, variant: str, evaluator: Evaluator) -> VariantInfo:
        """Derive a variant from the artifact in `folder`, beside it. Raises ConversionError or OutputError."""
        raise NotImplementedError

    def describe_variant(self, folder: Path, variant: str) -> VariantInfo:
        """Describe a variant in `folder`. Raises ConversionError if it is missing."""
        raise NotImplementedError

    def open_variant(self, folder: Path, variant: str, *, deployed: bool = False) -> Session:
        """Open a variant of the artifact in `folder`; `deployed` as its users will, for its latency, whatever memory that takes."""
        raise NotImplementedError

    def remove_variant(self, folder: Path, variant: str) -> None:
        """Remove the files of a variant."""
        raise NotImplementedError
