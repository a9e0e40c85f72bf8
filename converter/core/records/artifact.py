"""What is kept of a job: the artifact's files and how it is called, its record, and what became of the job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator

from converter.core.records.base import Count, FileRecord, Position, Record, Text, inside
from converter.core.records.job import Job, Visibility
from converter.core.records.verdict import Verdict

Status = Literal["converted", "skipped", "unvalidated", "failed", "cancelled"]
"""`unvalidated` is made, or was, and nothing measured it, by its user's leave: see `Verdict.unvalidated`.
`cancelled` was not started, as another had failed and its user wanted no more then."""


PushStatus = Literal["pushed", "unchanged", "failed"]
"""`unchanged` is what the repository had already, where nothing was committed."""


class TensorSpec(Record):
    """An input or output of an artifact: numpy's name of its dtype; a dimension is a length or an axis's name."""

    name: Text
    dtype: Text
    shape: tuple[Count | Text, ...]


class Bucket(Record):
    """One of the shapes that an artifact takes: the axes, by name, that have one length in it, and the file that runs it."""

    file: str
    fixed: Mapping[Text, Count]

    @field_validator("file")
    @classmethod
    def _lies_inside(cls, file: str) -> str:
        """What it names is loaded."""
        return inside(file)


class SubmodelSignature(Record):
    """One file of several that are one artifact; they are called in their order.

    `takes` says what an input is that has another name there: an input of the artifact, or an output of an earlier file.
    """

    file: Text
    inputs: tuple[Text, ...]
    outputs: tuple[Text, ...]
    takes: Mapping[Text, Text] = {}


class Signature(Record):
    """How an artifact is called: its inputs and outputs in order, and the axes, by name, that have one length only.

    Any other length of such an axis raises an error. `padding` is what fills an input up to them, 0 where it names none;
    `converter.padding` does it. An artifact of several `buckets` takes the shape of any, from the shortest on; `fixed` is the longest.
    `equal` names axes of outputs that are as long as one of the inputs, by another name. `submodels` are its files.
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
        """The lengths of the fixed axes, of each shape that it takes, the longest last; none where it takes any."""
        return tuple(bucket.fixed for bucket in self.buckets) or ((self.fixed,) if self.fixed else ())

    @field_validator("fixed")
    @classmethod
    def _is_a_length(cls, fixed: Mapping[str, int]) -> Mapping[str, int]:
        if any(length < 1 for length in fixed.values()):
            raise ValueError("an axis is at least 1 long")
        return fixed


class Stage(Record):
    """What a stage of a job cost. `peak_anonymous_bytes` is memory that the kernel cannot drop, the process's own whole."""

    name: Text
    seconds: float
    cpu_seconds: float
    peak_anonymous_bytes: Count


class Failure(Record):
    """Why a job failed: the stage, the sentence, what to do, and the traceback that only `--debug` shows.

    `is_transient`: another attempt may succeed.
    """

    stage: Text
    kind: Text
    message: Text
    hint: Text = ""
    is_transient: bool = False
    traceback: str = Field("", exclude=True)


class SourceRecord(Record):
    """The checkpoint an artifact was made from; `identity` is `commit:…` on the Hub, `sha256:…` of a folder's contents.

    `repository` is the id that the Hub had it under, `contents` stands for its files, whichever the commit. `pickle` and `code`
    say what was allowed and made use of: weights from a pickle, code of the checkpoint's own. `files` are those of a folder.
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


class ArtifactRecord(Record):
    """`converter.json`, written last: its presence says that the artifact beside it is whole, and validated or by its verdict not."""

    format: Literal[2] = 2
    key: str
    source: SourceRecord
    backend: str
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    configuration: Text = Field("", description="the class that said what is exported: a family's, GenericOnnxConfig, or its user's own")
    dtype: str = Field(description="floating point type of the artifact's weights")
    signature: Signature
    tried: Mapping[Text, tuple[Count, Count]] = Field(
        description="the shortest and the longest length of each axis that it was validated at, padded where the signature fixes it"
    )
    files: tuple[FileRecord, ...] = Field(description="the artifact's own files")
    shared_files: tuple[FileRecord, ...] = Field(
        (), description="files of the checkpoint in the same folder, which the artifact points into"
    )
    sidecars: tuple[FileRecord, ...] = Field((), description="config and tokenizer files, in the model's folder")
    verdict: Verdict
    stages: tuple[Stage, ...]
    notes: tuple[Text, ...] = Field((), description="what a user should know of how it was made, such as weights that it is made without")

    @property
    def needed(self) -> tuple[FileRecord, ...]:
        """All that it takes to run it: its own files, and those that are lent to it."""
        return (*self.files, *self.shared_files)

    @property
    def size(self) -> int:
        """The bytes of its own files."""
        return sum(file.size for file in self.files)


class Outcome(Record):
    """What became of one job."""

    model: Text
    backend: Text
    feature: Text | None
    status: Status
    destination: Text
    position: Position | None = None
    artifact: ArtifactRecord | None = None
    verdict: Verdict | None = None
    failure: Failure | None = None
    stages: tuple[Stage, ...] = ()
    attempts: Count = 1
    log: Text | None = Field(None, description="the file that tells how it went")
    notes: tuple[Text, ...] = Field((), description="what a user should know of where the checkpoint came from")

    @classmethod
    def of(cls, job: Job, status: Status, **fields: Any) -> Self:
        """What became of `job`; `fields` are the other fields."""
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
    """What became of the artifacts of one model on their way to the Hub.

    `url` is the commit's or the pull request's.
    """

    repository: Text
    status: PushStatus
    artifacts: tuple[str, ...] = Field(description="the folders that they come from")
    url: Text = ""
    commit: Text = ""
    pull_request: Count | None = None
    position: Position | None = None
    failure: Failure | None = None
    notes: tuple[Text, ...] = ()
