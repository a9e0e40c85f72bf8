"""Planned jobs, described for people and programs."""

from __future__ import annotations

from converter.core.records import Outcome, PlannedJob
from converter.pipeline import Plan


def describe(planned: Plan | Outcome) -> PlannedJob:
    """What `run` would do with a job, by its plan, or by the outcome of a job that is unchanged or cannot be planned."""
    if isinstance(planned, Plan):
        job, checkpoint = planned.job, planned.checkpoint
        return PlannedJob(
            model=str(job.source),
            source=checkpoint.identity,
            backend=job.backend,
            feature=job.options.feature,
            weight_bytes=checkpoint.weight_bytes,
            action="convert",
            destination=str(job.destination),
            position=job.position,
            notes=checkpoint.notes,
        )
    source = planned.artifact.source if planned.artifact else None
    return PlannedJob(
        model=planned.model,
        source=source.identity if source else None,
        backend=planned.backend,
        feature=planned.feature,
        weight_bytes=source.weight_bytes if source else None,
        action="cannot" if planned.failure else "nothing: unchanged",
        destination=planned.destination,
        position=planned.position,
        failure=planned.failure,
        notes=planned.notes,
    )
