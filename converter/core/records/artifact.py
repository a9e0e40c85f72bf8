"""The results of a job: the artifact's files and signature, its record, and the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator

from converter.core.records.accuracy import Variant
from converter.core.records.base import Count, FileRecord, Position, Record, Text, inside
from converter.core.records.job import Job, Visibility
from converter.core.records.verdict import Verdict

Status = Literal["converted", "skipped", "unvalidated", "failed", "cancelled"]
"""`unvalidated` could not run, and the user allows that, see `Verdict.unvalidated`. `cancelled` was not started, after a failure with
`--fail-fast`."""


PushStatus = Literal["pushed", "unchanged", "failed"]
"""`unchanged`: the repository had everything, and nothing was committed."""


class TensorSpec(Record):
    """An input or output: numpy's name of its dtype, and its dimensions, each a length or the name of an axis."""

    name: Text
    dtype: Text
    shape: tuple[Count | Text, ...]


class Bucket(Record):
    """A shape of an artifact: the fixed axes with their lengths, and the file that runs it."""

    file: str
    fixed: Mapping[Text, Count]

    @field_validator("file")
    @classmethod
    def _lies_inside(cls, file: str) -> str:
        """Refuse a path outside the folder, because this file is loaded."""
        return inside(file)


class SubmodelSignature(Record):
    """One file of an artifact of several, which are called in order.

    `takes` maps an input to its source: an input of the artifact, or an output of an earlier file.
    """

    file: Text
    inputs: tuple[Text, ...]
    outputs: tuple[Text, ...]
    takes: Mapping[Text, Text] = {}


class Signature(Record):
    """The call of an artifact: its inputs and outputs in order, and the axes with a fixed length.

    Any other length of a fixed axis raises an error. `padding` has the token that fills an input, by default 0;
    `converter.padding` does it. `buckets` are several shapes, shortest first; `fixed` is the longest. `equal` maps axes of outputs to
    equally long axes of inputs. `submodels` are its files.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    fixed: Mapping[Text, Count] = {}
    equal: Mapping[str, str] = {}
    padding: Mapping[str, int] = {}
    buckets: tuple[Bucket, ...] = ()
    submodels: tuple[SubmodelSignature, ...] = ()

    @property
    def shapes(self) -> tuple[Mapping[str, int], ...]:
        """The fixed axes of each shape, longest last; empty if any shape is allowed."""
        return tuple(bucket.fixed for bucket in self.buckets) or ((self.fixed,) if self.fixed else ())

    @field_validator("fixed")
    @classmethod
    def _is_a_length(cls, fixed: Mapping[str, int]) -> Mapping[str, int]:
        if any(length < 1 for length in fixed.values()):
            raise ValueError("an axis has a length of at least 1")
        return fixed


class Stage(Record):
    """The cost of a stage. `peak_anonymous_bytes` is memory that the kernel cannot drop, of the whole process."""

    name: Text
    seconds: float
    cpu_seconds: float
    peak_anonymous_bytes: Count


class Failure(Record):
    """The failure of a job: stage, message, hint, and the traceback for `--debug`.

    `is_transient` is true if a retry may succeed.
    """

    stage: Text
    kind: Text
    message: Text
    hint: Text = ""
    is_transient: bool = False
    traceback: str = Field("", exclude=True)


class SourceRecord(Record):
    """The checkpoint of an artifact; `identity` is `commit:…` on the Hub, `sha256:…` of a folder's contents.

    `repository` is the Hub id at that time. `contents` identifies its files, whatever the commit. `pickle` and `code` say that weights
    from a pickle or the checkpoint's own code were allowed and used. `files` are a folder's files.
    """

    model: Text
    revision: Text | None
    identity: Text
    model_type: Text
    weight_bytes: Count
    repository: str | None = None
    visibility: Visibility | None = None
    contents: str = ""
    pickle: bool = False
    code: bool = False
    files: tuple[FileRecord, ...] = ()

    @property
    def commit(self) -> str | None:
        """The commit's sha; None for a folder."""
        kind, _, sha = self.identity.partition(":")
        return sha if kind == "commit" else None


class ArtifactSummary(Record):
    """An artifact: its source, its files and its call."""

    format: Literal[2] = 2
    key: str
    source: SourceRecord
    backend: str
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    configuration: Text = Field("", description="the configuration class: of a family, GenericOnnxConfig, or a custom one")
    dtype: str = Field(description="floating point type of the artifact's weights")
    signature: Signature
    tried: Mapping[Text, tuple[Count, Count]] = Field(
        description="the shortest and longest validated length of each axis, padded if the signature fixes it"
    )
    files: tuple[FileRecord, ...] = Field(description="the artifact's own files")
    shared_files: tuple[FileRecord, ...] = Field((), description="files of the checkpoint in the same folder that the artifact refers to")
    sidecars: tuple[FileRecord, ...] = Field((), description="config and tokenizer files, in the model's folder")
    notes: tuple[Text, ...] = Field((), description="notes for users, such as unused weights")

    @property
    def needed(self) -> tuple[FileRecord, ...]:
        """All files that it needs: its own and shared ones."""
        return (*self.files, *self.shared_files)

    @property
    def size(self) -> int:
        """The bytes of its own files."""
        return sum(file.size for file in self.files)


class ArtifactRecord(ArtifactSummary):
    """`converter.json`, written last: the artifact beside it is complete, and validated according to its verdict."""

    verdict: Verdict
    stages: tuple[Stage, ...]

    @property
    def summary(self) -> ArtifactSummary:
        """The record without its verdict and stages, for an outcome, which has its own."""
        return ArtifactSummary(**{name: getattr(self, name) for name in ArtifactSummary.model_fields})


class Outcome(Record):
    """The result of one job."""

    model: Text
    backend: Text
    feature: Text | None
    status: Status
    destination: Text
    position: Position | None = None
    artifact: ArtifactSummary | None = None
    verdict: Verdict | None = None
    failure: Failure | None = None
    stages: tuple[Stage, ...] = ()
    attempts: Count = 1
    log: Text | None = Field(None, description="the job's log file")
    notes: tuple[Text, ...] = Field((), description="notes on the source of the checkpoint")

    @property
    def path(self) -> Path:
        """The artifact's folder."""
        return Path(self.destination)

    @property
    def validation(self) -> Verdict:
        """The verdict of a job that has one. Raises AttributeError for one that failed before."""
        if self.verdict is None:
            raise AttributeError(f"{self.model} failed before its validation: {self.failure and self.failure.message}")
        return self.verdict

    @property
    def variants(self) -> Mapping[str, Variant]:
        """The precisions by name, if others than float32 were requested."""
        return {variant.name: variant for variant in self.verdict.variants} if self.verdict else {}

    @classmethod
    def of(cls, job: Job, status: Status, **fields: Any) -> Self:
        """The outcome of `job`; `fields` are the other fields."""
        return cls(
            model=str(job.source),
            backend=job.backend,
            feature=job.options.feature,
            status=status,
            destination=str(job.destination),
            position=job.position,
            **fields,
        )


class Pushed(Record):
    """The result of a push of one model's artifacts.

    `url` is the address of the commit or pull request.
    """

    repository: Text
    status: PushStatus
    artifacts: tuple[str, ...] = Field(description="the pushed folders")
    url: Text = ""
    commit: Text = ""
    pull_request: Count | None = None
    position: Position | None = None
    failure: Failure | None = None
    notes: tuple[Text, ...] = ()
