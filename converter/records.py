"""The data that travels through the pipeline, and what is written to disk of it.

manifest line → Entry → Job → Checkpoint → Artifact → Verdict → Outcome → report
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Status = Literal["converted", "skipped", "failed"]
Dtype = Literal["float32", "checkpoint"]


class Record(BaseModel):
    """A frozen record: checked when it is made and when it is read back. Infinite errors survive the round trip."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True)


class Position(Record):
    """A place in a manifest; line and column count from 1."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


# --- what is asked for ------------------------------------------------------------------------------------------------


class Options(Record):
    """The options that every backend takes; a backend's own class adds to them."""

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
    dtype: Dtype = Field(
        "float32",
        description="Floating point type of the artifact: float32 (narrower weights are widened, without loss) or the checkpoint's own.",
    )

    @property
    def keeps_ties(self) -> bool:
        """Whether weights that are tied in the checkpoint are stored once, as they are there."""
        return True


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
    None where only the artifact is wanted.
    """

    source: Source
    backend: str
    options: Options
    destination: Path
    model_folder: Path | None = None
    position: Position | None = None
    keep_rejected: bool = False


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A source at one commit (Hub) or content digest (folder).

    `files` maps each file that a conversion needs to its size in bytes; `config` is config.json, read.
    `folder` holds the files; None until they are fetched.
    """

    source: Source
    identity: str
    config: Mapping[str, Any]
    files: Mapping[str, int]
    folder: Path | None = None

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
        return sum(size for name, size in self.files.items() if name.endswith(".safetensors"))


# --- what came of it --------------------------------------------------------------------------------------------------


class FileRecord(Record):
    """A file: its path inside the folder it belongs to, its size in bytes, its sha256, and when it was last written.

    `mtime_ns` counts from the epoch. It only spares the hashing of a file that nobody has touched; the sha256 decides.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str

    @field_validator("path")
    @classmethod
    def _lies_inside(cls, path: str) -> str:
        """What a record names may be deleted for its successor, and a record may come from anywhere."""
        parts = PurePosixPath(path).parts
        if not parts or parts[0] == "/" or ".." in parts or "\0" in path:
            raise ValueError("a file of an artifact lies inside its folder")
        return path


class TensorSpec(Record):
    """An input or output of an artifact: numpy's name of its dtype; a dimension is a length or an axis's name."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Signature(Record):
    """How an artifact is called: its inputs and outputs in order, and the axes, by name, that have one length only.

    Any other length of such an axis raises an error. `padding` is what fills an input up to them, 0 where it names none;
    `converter.padding` does it.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    fixed: Mapping[str, int] = {}
    padding: Mapping[str, int] = {}

    @field_validator("fixed")
    @classmethod
    def _is_a_length(cls, fixed: Mapping[str, int]) -> Mapping[str, int]:
        if any(length < 1 for length in fixed.values()):
            raise ValueError("an axis is at least 1 long")
        return fixed


class Comparison(Record):
    """One output in one case: what the artifact gave beside what the checkpoint gave.

    `max_abs_error` is over the positions that are no padding; `max_rel_error` is that over the largest value of the
    reference. `top1_agreement` is the share of decisions (argmax) that are the same, ties within tolerance counted as such
    and numbered in `top1_ties`; None where the output decides nothing.
    """

    output: str
    dtype: str
    expected_dtype: str
    shape: tuple[int, ...]
    expected_shape: tuple[int, ...]
    close: bool
    max_abs_error: float | None = None
    max_rel_error: float | None = None
    top1_agreement: float | None = None
    top1_ties: int = 0
    expected_nan: bool = False

    @property
    def passed(self) -> bool:
        return not any(self.problems(0))

    def problems(self, atol: float) -> Iterator[str]:
        """What is wrong with this output, a clause each; `atol` is only told."""
        if self.dtype != self.expected_dtype:
            yield f"is {self.dtype} instead of {self.expected_dtype}"
        if self.shape != self.expected_shape:
            yield f"has shape {self.shape} instead of {self.expected_shape}"
        elif self.expected_nan:
            yield "cannot be judged: the checkpoint itself gives NaN"
        elif not self.close:
            yield f"differs by {self.max_abs_error:.1e} (atol: {atol:g})"
        if self.top1_agreement not in (None, 1.0):
            yield f"decides otherwise in {1 - self.top1_agreement:.1%} of the cases"


class Case(Record):
    """One set of inputs given to both: the length of each named axis, and every output compared."""

    name: str
    axes: Mapping[str, int]
    comparisons: tuple[Comparison, ...] = ()
    error: str | None = None

    @property
    def passed(self) -> bool:
        return self.error is None and bool(self.comparisons) and all(each.passed for each in self.comparisons)


class Influence(Record):
    """How far the outputs move when one input alone is changed, in the checkpoint and in the artifact."""

    input: str
    reference_change: float
    artifact_change: float
    passed: bool


class WeightCheck(Record):
    """The tensors that the artifact stores, compared bit for bit with the checkpoint's.

    `different` bear the name of a weight and are not equal to it; `unknown` are large and no weight at all, by no name.
    `tied` are the names that stand for the same bytes, a group each; `doubled` names one that is tied in the checkpoint and has
    bytes of its own here, `joined` one that shares its bytes where each name was asked to have its own.
    """

    compared: int
    different: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    tied: tuple[tuple[str, ...], ...] = ()
    doubled: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()

    def problems(self) -> Iterator[str]:
        """What is wrong with the stored weights, a clause each."""
        for names, what in (
            (self.different, "of its weights are not the checkpoint's"),
            (self.unknown, "of its large tensors are none of the checkpoint's"),
            (self.doubled, "of its weights are tied in the checkpoint and stored twice"),
            (self.joined, "of its weights share their bytes and were to be stored each for itself"),
        ):
            if names:
                yield f"{len(names)} {what}, {names[0]} first"


class Generation(Record):
    """Greedy generation with the cache fed back: how many tokens the artifact chose, how many of them as transformers' `generate`
    did, and how many otherwise where transformers held both for equal within tolerance."""

    tokens: int
    equal: int
    ties: int = 0
    error: str | None = None

    @property
    def passed(self) -> bool:
        return not self.problem

    @property
    def problem(self) -> str:
        """What is wrong, in a clause; empty where nothing is."""
        if self.error or not self.tokens:
            return self.error or "it generates nothing"
        others = self.tokens - self.equal - self.ties
        return f"{others} of the {self.tokens} tokens that it generates are not the checkpoint's" if others else ""


class Verdict(Record):
    """What validation measured: every figure of every case."""

    atol: float
    rtol: float
    runtime: str
    problems: tuple[str, ...] = Field((), description="what is wrong and no figure: names, dtypes, axes, a changed file")
    cases: tuple[Case, ...] = ()
    influences: tuple[Influence, ...] = ()
    generation: Generation | None = Field(None, description="None where the model has no cache or gives no tokens")
    weights: WeightCheck = WeightCheck(compared=0)
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not any(self._problems())

    @property
    def first_problem(self) -> str:
        """What is wrong, in a clause; empty for a verdict that has passed."""
        return next(self._problems(), "")

    def _problems(self) -> Iterator[str]:
        yield from self.problems
        yield from self._case_problems()
        for influence in self.influences:
            if not influence.passed:
                yield f"the input {influence.input!r} matters to the checkpoint ({influence.reference_change:.1e}) and not to the artifact"
        if self.generation and self.generation.problem:
            yield self.generation.problem
        yield from self.weights.problems()

    def _case_problems(self) -> Iterator[str]:
        for case in self.cases:
            where = f"at {', '.join(f'{axis} {length}' for axis, length in case.axes.items())} ({case.name})"
            if case.error:
                yield f"{case.error} {where}"
            elif not case.comparisons:
                yield f"nothing was compared {where}"
            for comparison in case.comparisons:
                yield from (f"{comparison.output} {what} {where}" for what in comparison.problems(self.atol))
        if not self.cases:
            yield "nothing was compared"

    @property
    def max_abs_error(self) -> float | None:
        """The largest absolute error of all cases and outputs; None where nothing could be compared."""
        errors = [c.max_abs_error for case in self.cases for c in case.comparisons if c.max_abs_error is not None]
        return max(errors, key=lambda error: (error != error, error)) if errors else None

    @property
    def tried(self) -> Mapping[str, tuple[int, int]]:
        """The shortest and the longest length of each named axis of the inputs, of the cases that passed."""
        lengths: dict[str, list[int]] = {}
        for case in self.cases:
            for axis, length in case.axes.items() if case.passed else ():
                lengths.setdefault(axis, []).append(length)
        return {axis: (min(found), max(found)) for axis, found in lengths.items()}

    @property
    def top1_agreement(self) -> float | None:
        """The smallest share of equal decisions of all cases and outputs; None where no output decides anything."""
        shares = [c.top1_agreement for case in self.cases for c in case.comparisons if c.top1_agreement is not None]
        return min(shares) if shares else None


class Stage(Record):
    """What a stage of a job cost. `peak_anonymous_bytes` is memory that the kernel cannot drop, the process's own whole."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_anonymous_bytes: int


class Failure(Record):
    """Why a job failed: the stage, the sentence, what to do, and the traceback that only `--debug` shows."""

    stage: str
    kind: str
    message: str
    hint: str = ""
    traceback: str = Field("", exclude=True)


class SourceRecord(Record):
    """The checkpoint an artifact was made from; `identity` is `commit:…` on the Hub, `sha256:…` of a folder's contents."""

    model: str
    revision: str | None
    identity: str
    model_type: str
    weight_bytes: int


class ArtifactRecord(Record):
    """`converter.json`, written last: its presence says that the artifact beside it is whole and validated."""

    format: Literal[1] = 1
    key: str
    source: SourceRecord
    backend: str
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    dtype: str = Field(description="floating point type of the artifact's weights")
    signature: Signature
    tried: Mapping[str, tuple[int, int]] = Field(
        description="the shortest and the longest length of each axis that it was validated at, padded where the signature fixes it"
    )
    files: tuple[FileRecord, ...] = Field(description="the artifact's own files")
    sidecars: tuple[FileRecord, ...] = Field((), description="config and tokenizer files, in the model's folder")
    verdict: Verdict
    stages: tuple[Stage, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


class Outcome(Record):
    """What became of one job."""

    model: str
    backend: str
    feature: str | None
    status: Status
    destination: str
    position: Position | None = None
    artifact: ArtifactRecord | None = None
    verdict: Verdict | None = None
    failure: Failure | None = None
    stages: tuple[Stage, ...] = ()
