"""Requests: options, a source, an entry of a manifest, a job, and its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from converter.core.debugging import OFF, Debugging
from converter.core.records.accuracy import Tier
from converter.core.records.base import FileRecord, Position, Record

Dtype = Literal["float32", "checkpoint"]
Visibility = Literal["public", "gated", "private"]
LogFormat = Literal["text", "json"]

LONGEST_AXIS = 2**31 - 1
"""The longest axis that an option allows; numpy fails at longer ones with its own errors."""


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """Permissions for a checkpoint: pickled weights, loaded with weights_only; its own code, which is run; unused weights, which are
    dropped."""

    pickle: bool = False
    remote_code: bool = False
    drop_weights: bool = False


@dataclass(frozen=True, kw_only=True)
class AccuracyRequirement:
    """The requirement for variants: the tier, the texts and a custom metric."""

    tier: Tier = "lossy"
    text: str | None = None
    evaluate: str | None = None


HIDDEN: dict[str, Any] = {"deprecated": True}
"""Marks an option with a new name: accepted, and shown nowhere."""

_UNSAID: tuple[Any, ...] = (None, (), [])

USERS_FILES = ("config", "text", "evaluate")
"""Options that name a user's file: its contents count in the cache key, and its path is private."""


class Options(Record):
    """The options of every backend; a backend's class adds its own.

    `aliases` are the hidden options that `precision` replaced, with the precision for each value.
    """

    aliases: ClassVar[Mapping[str, Mapping[str, str]]] = {"dtype": {"float32": "fp32", "fp32": "fp32", "checkpoint": "checkpoint"}}

    feature: str | None = Field(
        None,
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
        description="Task of the exported model; `converter features` lists them (default: by config.json).",
    )
    config: str | None = Field(
        None,
        pattern=r"^.+\.py:[A-Za-z_]\w*$",
        description="Custom configuration, `my_config.py:MyOnnxConfig`, in place of the architecture's. The file is run.",
    )
    atol: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Absolute tolerance of the validation (default: the architecture's)."
    )
    precision: Literal["fp32", "checkpoint"] = Field(
        "fp32", description="Floating point type: fp32 (narrower weights are widened without loss), or checkpoint for its own type."
    )
    dtype: Literal["float32", "checkpoint", "fp32"] | None = Field(
        None, exclude=True, json_schema_extra=HIDDEN, description="See precision."
    )

    allow_pickle: bool = Field(False, description="Allow weights from a pickle (.bin) without safetensors; loaded with weights_only.")
    trust_remote_code: bool = Field(
        False, description="Allow the checkpoint's own code. Hub repositories must be pinned: org/name@<commit>."
    )

    drop_weights: bool = Field(False, description="Leave out weights that no class of transformers loads; otherwise they are an error.")

    @model_validator(mode="before")
    @classmethod
    def _replace_aliases(cls, options: Any) -> Any:
        """Replace an alias by its precision; a wrong value is left to its own check."""
        if not isinstance(options, Mapping):
            return options
        precisions = {alias: cls.precision_of(alias, options[alias]) for alias in cls.aliases if options.get(alias) not in _UNSAID}
        known = {alias: precision for alias, precision in precisions.items() if precision is not None}
        if {"quantize", "variants"} & known.keys() and known.get("dtype") == "fp32":
            del known["dtype"]  # the others are derived from float32
        names = [*(["precision"] if options.get("precision") not in _UNSAID else []), *known]
        if len(names) > 1:
            raise PydanticCustomError("precision", "precision is set by {names}; set it once", {"names": " and by ".join(names)})
        kept = {
            name: value for name, value in options.items() if name not in cls.aliases or (name in precisions and precisions[name] is None)
        }
        precision = {"precision": next(iter(known.values()))} if known else {}
        return {**cls.dependent_defaults(options), **kept, **precision}

    @classmethod
    def dependent_defaults(cls, options: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG003 - for subclasses
        """Defaults that depend on other options."""
        return {}

    @classmethod
    def says_precision(cls, options: Mapping[str, Any]) -> bool:
        """Whether options set a precision, by this name or a hidden one."""
        return any(options.get(name) not in _UNSAID for name in ("precision", *cls.aliases))

    @classmethod
    def precision_of(cls, alias: str, value: Any) -> Any:
        """The precision for the value of an alias; None for a wrong value."""
        return cls.aliases[alias].get(value) if isinstance(value, str) else None

    @property
    def loads_as(self) -> Dtype:
        """The floating point type in which the checkpoint is loaded, for the conversion and as the reference."""
        return "checkpoint" if "checkpoint" in self.precision else "float32"

    @property
    def accuracy_requirement(self) -> AccuracyRequirement:
        """The requirement for variants."""
        return AccuracyRequirement()

    @property
    def allowed(self) -> Allowed:
        """The permissions for the checkpoint."""
        return Allowed(pickle=self.allow_pickle, remote_code=self.trust_remote_code, drop_weights=self.drop_weights)

    @property
    def prefers_cache(self) -> bool:
        """Whether a generating model is exported with its cache by default."""
        return False

    @property
    def keeps_ties(self) -> bool:
        """Whether tied weights are stored once, as in the checkpoint."""
        return True

    @property
    def accepts_unvalidated(self) -> bool:
        """Whether an artifact that cannot run is kept, as not validated."""
        return False


@dataclass(frozen=True, kw_only=True)
class Source:
    """The source of a checkpoint: a local folder, or a repository of the Hub at a revision."""

    name: str
    folder: Path | None = None
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of a manifest: a source, its backends with their options, and its place in the output."""

    source: Source
    backends: Mapping[str, Options]
    output: str
    position: Position


@dataclass(frozen=True, kw_only=True)
class Job:
    """One checkpoint for one backend.

    `destination` is the artifact's folder. `model_folder` gets the checkpoint's config and tokenizer files; None to leave them out.
    `cache` has captured graphs; None for no cache. `log` is the format of the log; None for no log.
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
    debugging: Debugging = OFF


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A source at a commit (Hub) or content digest (folder).

    `files` maps each required file to its size in bytes, `digests` to the Hub's digest; `config` is the parsed config.json. `contents`
    identifies all of them, also at other commits. `folder` has the files; None until they are fetched. `described` are the files of a
    local folder. `repository` is the Hub id today. `task` comes from modules.json of sentence-transformers; empty if only config.json
    decides. `notes` are clauses for users about the source.
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
        """The classes in config.json that it was saved from."""
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
        """Whether it has code to run."""
        return any(name.endswith(".py") for name in self.files)
