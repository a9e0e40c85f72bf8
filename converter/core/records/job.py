"""What is asked for: options, a source, an entry of a manifest, a job, and the checkpoint that it leads to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from converter.core.records.accuracy import Tier
from converter.core.records.base import FileRecord, Position, Record

Dtype = Literal["float32", "checkpoint"]
Visibility = Literal["public", "gated", "private"]
LogFormat = Literal["text", "json"]

LONGEST_AXIS = 2**31 - 1
"""The longest axis that an option may ask for: no text and no memory has as much, and numpy fails at more in ways of its own."""


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What is allowed of a checkpoint: weights as a pickle, which are loaded with weights_only; code, which is run; and weights that
    no class loads, which are dropped."""

    pickle: bool = False
    remote_code: bool = False
    drop_weights: bool = False


@dataclass(frozen=True, kw_only=True)
class AccuracyRequirement:
    """What is asked of variants that lose something: how much at most, by which texts, and by which metric beside the ready-made."""

    tier: Tier = "lossy"
    text: str | None = None
    evaluate: str | None = None


HIDDEN: dict[str, Any] = {"deprecated": True}
"""Marks an option that has another name now: it is taken, and shown nowhere."""

_UNSAID: tuple[Any, ...] = (None, (), [])

USERS_FILES = ("config", "text", "evaluate")
"""The options that name a file of the user's own: it counts by its contents, and where it lies is nobody else's business."""


class Options(Record):
    """The options that every backend takes; a backend's own class adds to them.

    `aliases` are the hidden options that `precision` replaced, each with the precision that a value of it stands for.
    """

    aliases: ClassVar[Mapping[str, Mapping[str, str]]] = {"dtype": {"float32": "fp32", "fp32": "fp32", "checkpoint": "checkpoint"}}

    feature: str | None = Field(
        None,
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
        description="What the model is exported for; `converter features` lists them. By default what config.json says of the checkpoint.",
    )
    config: str | None = Field(
        None,
        pattern=r"^.+\.py:[A-Za-z_]\w*$",
        description="A configuration of your own, `my_config.py:MyOnnxConfig`, in place of the architecture's. The file is run.",
    )
    atol: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Absolute tolerance of the validation. By default the architecture's own."
    )
    precision: Literal["fp32", "checkpoint"] = Field(
        "fp32", description="fp32 (narrower weights are widened, without loss) or checkpoint: the checkpoint's own floating point type."
    )
    dtype: Literal["float32", "checkpoint", "fp32"] | None = Field(
        None, exclude=True, json_schema_extra=HIDDEN, description="See precision."
    )

    allow_pickle: bool = Field(
        False, description="Take weights from a pickle (.bin) where there are no safetensors. They are loaded with weights_only."
    )
    trust_remote_code: bool = Field(
        False, description="Run the code that the checkpoint brings. One of the Hub's has to be named by its commit, as org/name@commit."
    )

    drop_weights: bool = Field(
        False, description="Leave out weights of the checkpoint that no class of transformers loads. By default they are an error."
    )

    @model_validator(mode="before")
    @classmethod
    def _replace_aliases(cls, options: Any) -> Any:
        """Put what an alias stands for in its place; a value that it does not have is left for its own check."""
        if not isinstance(options, Mapping):
            return options
        precisions = {alias: cls.precision_of(alias, options[alias]) for alias in cls.aliases if options.get(alias) not in _UNSAID}
        known = {alias: precision for alias, precision in precisions.items() if precision is not None}
        if {"quantize", "variants"} & known.keys() and known.get("dtype") == "fp32":
            del known["dtype"]  # float32 is what these are made of
        names = [*(["precision"] if options.get("precision") not in _UNSAID else []), *known]
        if len(names) > 1:
            raise PydanticCustomError("precision", "the precision is said by {names}; say it once", {"names": " and by ".join(names)})
        kept = {
            name: value for name, value in options.items() if name not in cls.aliases or (name in precisions and precisions[name] is None)
        }
        precision = {"precision": next(iter(known.values()))} if known else {}
        return {**cls.dependent_defaults(options), **kept, **precision}

    @classmethod
    def dependent_defaults(cls, options: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG003 - a backend's own class reads them
        """The defaults that depend on other options."""
        return {}

    @classmethod
    def says_precision(cls, options: Mapping[str, Any]) -> bool:
        """Whether options name a precision, by this name or by a hidden one."""
        return any(options.get(name) not in _UNSAID for name in ("precision", *cls.aliases))

    @classmethod
    def precision_of(cls, alias: str, value: Any) -> Any:
        """The precision that the value of an alias stands for; None if it has no such value."""
        return cls.aliases[alias].get(value) if isinstance(value, str) else None

    @property
    def loads_as(self) -> Dtype:
        """The floating point type that the checkpoint is loaded in to be converted, and to be measured against."""
        return "checkpoint" if "checkpoint" in self.precision else "float32"

    @property
    def accuracy_requirement(self) -> AccuracyRequirement:
        """What is asked of variants that lose something."""
        return AccuracyRequirement()

    @property
    def allowed(self) -> Allowed:
        """What is allowed of the checkpoint."""
        return Allowed(pickle=self.allow_pickle, remote_code=self.trust_remote_code, drop_weights=self.drop_weights)

    @property
    def prefers_cache(self) -> bool:
        """Whether a model that generates is exported with its cache, where no feature is asked for."""
        return False

    @property
    def keeps_ties(self) -> bool:
        """Whether weights that are tied in the checkpoint are stored once, as they are there."""
        return True

    @property
    def accepts_unvalidated(self) -> bool:
        """Whether an artifact that nothing here can run is kept, and told to be not validated."""
        return False


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a checkpoint comes from: a folder of this machine, or a repository of the Hub at a revision."""

    name: str
    folder: Path | None = None
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of a manifest: a source, the backends it goes to with the options of each, and its place in the output."""

    source: Source
    backends: Mapping[str, Options]
    output: str
    position: Position


@dataclass(frozen=True, kw_only=True)
class Job:
    """One checkpoint to one backend.

    `destination` is the artifact's folder. `model_folder` is where the checkpoint's config and tokenizer files go,
    None where only the artifact is wanted. `cache` is where conversions leave what later ones may use; None for nothing of the kind.
    `log` is how its log is written, None where it keeps none.
    """

    source: Source
    backend: str
    options: Options
    destination: Path
    model_folder: Path | None = None
    position: Position | None = None
    keep_rejected: bool = False
    cache: Path | None = None
    log: LogFormat | None = None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A source at one commit (Hub) or content digest (folder).

    `files` maps each file that a conversion needs to its size in bytes, `digests` to what the Hub knows it by; `config` is
    config.json, read. `contents` stands for all of them: it stays the same at another commit that changes none.
    `folder` holds the files; None until they are fetched. `described` are the files of a folder as they were found. `repository` is the
    id that the Hub has it under today. `task` is what the model is loaded for by modules.json, which sentence-transformers writes; empty if
    config.json alone says it. `notes` are what a user should know of where it came from, a clause each.
    """

    source: Source
    identity: str
    config: Mapping[str, Any]
    files: Mapping[str, int]
    digests: Mapping[str, str] = field(default_factory=dict)
    contents: str = ""
    folder: Path | None = None
    described: tuple[FileRecord, ...] = ()
    repository: str | None = None
    visibility: Visibility | None = None
    task: str = ""
    notes: tuple[str, ...] = ()

    @property
    def model_type(self) -> str:
        return str(self.config["model_type"])

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of transformers that it was saved from, as config.json names them."""
        named = self.config.get("architectures")
        return tuple(map(str, named)) if isinstance(named, list) else ()

    @property
    def weight_bytes(self) -> int:
        return sum(size for name, size in self.files.items() if name.endswith((".safetensors", ".bin")))

    @property
    def has_pickle(self) -> bool:
        """Whether its weights are a pickle."""
        return any(name.endswith(".bin") for name in self.files)

    @property
    def has_code(self) -> bool:
        """Whether it brings code that is run."""
        return any(name.endswith(".py") for name in self.files)
