"""The data that travels through the pipeline, and what is written to disk of it.

manifest line → Entry → Job → Checkpoint → Artifact → Verdict → Outcome → report
"""

from converter.records.asked import Checkpoint, Dtype, Entry, Job, Options, Source
from converter.records.base import Position, Record
from converter.records.kept import ArtifactRecord, Bucket, Failure, FileRecord, Outcome, Signature, SourceRecord, Stage, Status, TensorSpec
from converter.records.measured import Case, Comparison, Finding, Generation, Influence, Verdict, WeightCheck

__all__ = [
    "ArtifactRecord",
    "Bucket",
    "Case",
    "Checkpoint",
    "Comparison",
    "Dtype",
    "Entry",
    "Failure",
    "FileRecord",
    "Finding",
    "Generation",
    "Influence",
    "Job",
    "Options",
    "Outcome",
    "Position",
    "Record",
    "Signature",
    "Source",
    "SourceRecord",
    "Stage",
    "Status",
    "TensorSpec",
    "Verdict",
    "WeightCheck",
]
