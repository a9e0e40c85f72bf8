"""The data that travels through the pipeline and to the disk.

manifest line → Entry → Job → Checkpoint → Artifact → Verdict → Outcome → report
"""

from converter.core.records.accuracy import TIERS, AccuracyDrop, AccuracyKind, Deviation, Latency, Search, Tier, Variant
from converter.core.records.artifact import (
    ArtifactRecord,
    ArtifactSummary,
    Bucket,
    Failure,
    Outcome,
    Pushed,
    PushStatus,
    Signature,
    SourceRecord,
    Stage,
    Status,
    SubmodelSignature,
    TensorSpec,
)
from converter.core.records.base import FileRecord, Position, Record
from converter.core.records.comparison import Case, Comparison
from converter.core.records.event import Event
from converter.core.records.exactness import Exactness
from converter.core.records.finding import Finding
from converter.core.records.generation import Generation
from converter.core.records.influence import Influence
from converter.core.records.job import (
    HIDDEN,
    LONGEST_AXIS,
    USERS_FILES,
    AccuracyRequirement,
    Allowed,
    Checkpoint,
    Dtype,
    Entry,
    Job,
    LogFormat,
    Options,
    Source,
    Visibility,
)
from converter.core.records.plan import PlannedJob
from converter.core.records.verdict import Verdict
from converter.core.records.weight_check import WeightCheck

__all__ = [
    "HIDDEN",
    "LONGEST_AXIS",
    "TIERS",
    "USERS_FILES",
    "AccuracyDrop",
    "AccuracyKind",
    "AccuracyRequirement",
    "Allowed",
    "ArtifactRecord",
    "ArtifactSummary",
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
    "Options",
    "Outcome",
    "PlannedJob",
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
    "SubmodelSignature",
    "TensorSpec",
    "Tier",
    "Variant",
    "Verdict",
    "Visibility",
    "WeightCheck",
]
