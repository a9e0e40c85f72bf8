"""The contract of a backend: what it is called, which options it takes, how it converts, how its artifact is run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from converter.core.errors import NotSupportedError
from converter.core.records import Finding, Options, Search, Signature
from converter.core.versions import TESTED

if TYPE_CHECKING:
    from converter.architectures import Architecture, OnnxConfig
    from converter.checkpoints.loading import LoadedModel
    from converter.core.typing import Array


@dataclass(frozen=True)
class Quantized:
    """A matrix of integers in blocks. Each element stands for `(integer - zero point) * scale`.

    Args:
        integers: shape (rows, columns), each row filled up to whole blocks or not.
        scales: shape (rows, blocks).
        zero_points: shape (rows, blocks).
        block: columns that share a scale.
        columns: columns of the matrix.
        bits: 8, or 4 for integers of shape (rows, columns / 2) with two a byte, the low one first.
    """

    integers: Array
    scales: Array
    zero_points: Array
    block: int
    columns: int
    bits: int


@dataclass(frozen=True)
class StoredWeight:
    """A tensor of an artifact under one of its names; `storage` is the same for those that share their bytes.

    `file` is which of an artifact's files has it, where each has to have its own. A tensor that is made of several weights names them
    in `of`: it is these one after the other along their first axis, and then, if so, `transposed`. If it is `quantized`, `array` has the
    integers as they are stored. `is_used` says whether an output depends on it.
    """

    name: str
    array: Array
    storage: Hashable
    file: int = 0
    of: tuple[str, ...] = ()
    transposed: bool = False
    quantized: Quantized | None = None
    is_used: bool = True


class Session(Protocol):
    """An artifact, opened in its own runtime from the written files alone."""

    runtime: str
    signature: Signature
    unrunnable: str
    """Why nothing on this machine runs it, in a clause; empty where something does."""
    notes: Sequence[str]
    """What a reader of its verdict should know of how it was run, a clause each."""
    has_all_weights: bool
    """Whether `weights` gives all that it has; a compiler may hide weights in code."""

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The outputs by name for inputs by name. Raises ConversionError with the runtime's own words."""

    def time(self, inputs: Mapping[str, Array]) -> float:
        """The seconds of one call in the runtime itself, without the way to a process of its own. Raises ConversionError as `run` does."""

    def tokens_apart(self, name: str, vocabulary: int) -> Collection[int]:
        """The token ids below `vocabulary` that the artifact may treat apart from all others in its input `name`: its constants."""

    def changes(self) -> Iterator[str]:
        """What runs have changed of the artifact since it was opened, or may change, a name each: it has to stay as it was."""

    def weights(self) -> Iterator[StoredWeight]:
        """Each stored tensor, one at a time, so that they are never all in memory."""

    def close(self) -> None:
        """Give back what the runtime holds; nothing is run afterwards."""


@dataclass(frozen=True)
class Cache:
    """Where conversions leave what later ones may use, and the versions that have to be the same for that."""

    folder: Path
    versions: Mapping[str, str]


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Conversion:
    """What is to be known of a conversion beside its files.

    `reused` says that it took from the cache what it would have had to find out. `accept` is called once the artifact has passed its
    validation, `reject` where what was reused did not. `lent` are files of the checkpoint that the artifact needs and that lie where
    it goes: in its folder they are only linked, for as long as it is tried. `notes` are what a user should know, a clause each.
    """

    reused: bool = False
    shared_files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    accept: Callable[[], None] = _nothing
    reject: Callable[[], None] = _nothing


class Evaluator(Protocol):
    """What a variant is chosen by: inputs to calibrate with, others to try it on, and how much of it may be lost."""

    @property
    def calibration(self) -> Sequence[Mapping[str, Array]]: ...

    @property
    def samples(self) -> Sequence[Mapping[str, Array]]:
        """A few of the inputs to try it on, of all lengths."""

    @property
    def inputs(self) -> int: ...

    def float32_weights(self, dtype: str) -> Collection[str]:
        """The weights, by the module's names, that the checkpoint's own library keeps in float32 when it loads a model in `dtype`."""

    def attempt(self, session: Session) -> tuple[bool, float]:
        """Whether an artifact loses no more than it may on the inputs to choose by, and how far it is off."""


Activations = Literal["float", "dynamic", "static"]
"""What a variant rounds its activations to: nothing, a range found at each call, or one found beforehand."""


@dataclass(frozen=True, kw_only=True)
class VariantInfo:
    """How a variant was made: its files in the order of their calls, what is computed in which type, and what was quantized of it.

    `stored` are bytes by the type of the tensors. `left_out` says, by a pattern of names, of layers that were not quantized so
    what their weights are. `float32` says of what stays in float32 in a float16 file, by the same patterns, its largest magnitude.
    `activations` says what these are rounded to. `problems` are what its making did not do, a clause each.
    """

    files: tuple[str, ...]
    computed: str
    stored: Mapping[str, int]
    quantized: int = 0
    activations: Activations = "float"
    left_out: Mapping[str, str] = field(default_factory=dict)
    float32: Mapping[str, float] = field(default_factory=dict)
    calibrated: int = 0
    search: Search | None = None
    problems: tuple[str, ...] = ()


def together(conversions: Sequence[Conversion]) -> Conversion:
    """What is to be known of an artifact of several files, by what is of each."""

    def accept() -> None:
        for conversion in conversions:
            conversion.accept()

    def reject() -> None:
        for conversion in conversions:
            conversion.reject()

    return Conversion(
        reused=any(conversion.reused for conversion in conversions),
        shared_files=tuple(dict.fromkeys(name for conversion in conversions for name in conversion.shared_files)),
        notes=tuple(dict.fromkeys(note for conversion in conversions for note in conversion.notes)),
        accept=accept,
        reject=reject,
    )


class Backend(ABC):
    """One way to deploy a model. A new one is a new module with a subclass, named in `converter.backends`."""

    name: ClassVar[str]
    title: ClassVar[str]
    """How it is written for people."""
    main_file: ClassVar[str]
    generated_sidecar_names: ClassVar[tuple[str, ...]] = ()
    """The files in the model's folder that `beside` makes and no checkpoint has: they go wherever the artifact goes."""
    client_files: ClassVar[tuple[str, ...]]
    """Patterns of the names of files that its clients load, whoever made them."""
    data_files: ClassVar[tuple[str, ...]] = ()
    """Patterns of the files that these read their tensors from."""
    exact: ClassVar[str] = ""
    """What the variant is called that others are made of, where there are variants."""
    layouts: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Where artifacts may have other files than `main_file`, the files of each kind of artifact; a user is told of the last."""
    validation_claim: ClassVar[str] = "validated"
    """What a user may take an artifact for, in a word or two."""
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
    """What is said of every check, in a clause."""

    @property
    def notice(self) -> str:
        """What a user should know of it whenever they use it, told once by a command."""
        return ""

    @property
    def validates_here(self) -> bool:
        """Whether this machine is known to run its artifacts."""
        return True

    def files_of(self, names: Collection[str]) -> tuple[str, ...]:
        """The files that are called, in their order, among the `names` of an artifact's; none where they are no artifact's."""
        return next((layout for layout in self.layouts or ((self.main_file,),) if {*names} >= {*layout}), ())

    def main_file_of(self, names: Collection[str]) -> str | None:
        """The file among `names`, of one artifact, that a user is told of; None where they are no artifact's."""
        return next(reversed(self.files_of(names)), None)

    def main_file_in(self, folder: Path) -> str | None:
        """The same of what is in a folder."""
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

    def beside(
        self,
        model: LoadedModel,  # noqa: ARG002 - for subclasses
        config: OnnxConfig,  # noqa: ARG002 - as above
        signature: Signature,  # noqa: ARG002 - as above
        folder: Path,  # noqa: ARG002 - as above
    ) -> Mapping[str, bytes]:
        """Files by name that clients of the artifact in `folder` want in the model's folder, beside those that the checkpoint has."""
        return {}

    def attn_implementation(self, onnx_config: type[OnnxConfig]) -> str | None:  # noqa: ARG002 - for subclasses
        """The attention that a model is loaded with to be converted; None is what transformers chooses."""
        return None

    def check_environment(self, options: Options) -> None:  # noqa: ARG002 - for subclasses
        """Raise NotSupportedError where it cannot convert here, or not with these options; before anything is fetched."""
        missing = [package for package in self.packages if not any(distributions(name=package))]
        if missing:
            raise NotSupportedError(
                f"{self.title} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed here",
                "run it in the converter's own image or environment; the one for Neuron has not all that others need",
            )

    def check(self, model: LoadedModel, config: OnnxConfig, options: Options, preprocessor: Any = None) -> Iterator[Finding]:
        """What can be found out of a model without converting it, where it `checks`."""
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

    def read_options(self, folder: Path, asked: Mapping[str, Any]) -> Options:  # noqa: ARG002 - for subclasses
        """Those that are `asked` for, and others that the files of an artifact without a record tell. Raises ConversionError for none."""
        return Options.model_validate(asked)

    @abstractmethod
    def open(self, folder: Path) -> Session:
        """Open the artifact in `folder`, in the precision that a user is told of. Raises ConversionError where it is none."""

    def variants(self, options: Options) -> tuple[str, ...]:  # noqa: ARG002 - for subclasses
        """The precisions that are asked for and measured by what they lose; none where the artifact is to be what its checkpoint is."""
        return ()

    def derive(self, folder: Path, variant: str, evaluator: Evaluator) -> VariantInfo:
        """Make a variant of the artifact in `folder`, beside it. Raises ConversionError or OutputError."""
        raise NotImplementedError

    def describe(self, folder: Path, variant: str) -> VariantInfo:
        """What can be told of a variant in `folder` that was made before. Raises ConversionError where it is not there."""
        raise NotImplementedError

    def open_variant(self, folder: Path, variant: str, *, deployed: bool = False) -> Session:
        """Open a variant of the artifact in `folder`; `deployed` as its users will, for its latency, whatever memory that takes."""
        raise NotImplementedError

    def drop(self, folder: Path, variant: str) -> None:
        """Remove the files of a variant that is in no other's way."""
        raise NotImplementedError
