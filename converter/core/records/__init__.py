"""The data that travels through the pipeline, and what is written to disk of it.

manifest line → Entry → Job → Checkpoint → Artifact → Verdict → Outcome → report
"""

from converter.core.records.accuracy import TIERS, Deviation, Latency, Loss, LossKind, Search, Tier, Variant
from converter.core.records.artifact import (
    ArtifactRecord,
    Bucket,
    Failure,
    Outcome,
    PartSignature,
    Pushed,
    PushStatus,
    Signature,
    SourceRecord,
    Stage,
    Status,
    TensorSpec,
)
from converter.core.records.base import FileRecord, Position, Record
from converter.core.records.event import Event
from converter.core.records.job import (
    LONGEST_AXIS,
    USERS_FILES,
    Allowed,
    Checkpoint,
    Dtype,
    Entry,
    Job,
    LogFormat,
    MeasuredBy,
    Options,
    Source,
    Visibility,
)
from converter.core.records.validation import Case, Comparison, Exactness, Finding, Generation, Influence, Verdict, WeightCheck

__all__ = [
    "LONGEST_AXIS",
    "TIERS",
    "USERS_FILES",
    "Allowed",
    "ArtifactRecord",
    "Bucket",
    "Case",
    "Checkpoint",
    "Comparison",
    "Deviation",
    "Dtype",
    "Entry",
    "Event",
    "Exactness",
    "Failure",
    "FileRecord",
    "Finding",
    "Generation",
    "Influence",
    "Job",
    "Latency",
    "LogFormat",
    "Loss",
    "LossKind",
    "MeasuredBy",
    "Options",
    "Outcome",
    "PartSignature",
    "Position",
    "PushStatus",
    "Pushed",
    "Record",
    "Search",
    "Signature",
    "Source",
    "SourceRecord",
    "Stage",
    "Status",
    "TensorSpec",
    "Tier",
    "Variant",
    "Verdict",
    "Visibility",
    "WeightCheck",
]
