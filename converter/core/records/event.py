"""Events of a job: lines of its log and of the batch's progress."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import Field

from converter.core.records.artifact import Outcome, Stage, Status
from converter.core.records.base import Record

Kind = Literal[
    "batch-began", "job-began", "stage-began", "stage-ended", "waiting", "warning", "output", "retry", "job-ended", "pushed", "batch-ended"
]
"""`waiting`: another run makes the same artifact. `output`: a line that a library printed."""


def _now() -> datetime:
    return datetime.now(UTC)


class Event(Record):
    """An event and its job. Times are UTC; seconds are a duration, or the pause before a retry."""

    time: datetime = Field(default_factory=_now)
    event: Kind | Literal["note", "error"]
    model: str | None = None
    backend: str | None = None
    position: str | None = None
    stage: str | None = None
    status: Status | Literal["interrupted", "pushed", "unchanged"] | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_anonymous_bytes: int | None = None
    bytes: int | None = None
    attempt: int | None = None
    message: str | None = None
    hint: str | None = None

    @classmethod
    def of_stage(cls, stage: Stage) -> Self:
        """The event at the end of a stage, with its cost."""
        return cls(event="stage-ended", stage=stage.name, **stage.model_dump(exclude={"name"}))

    @classmethod
    def of_outcome(cls, outcome: Outcome) -> Self:
        """The event at the end of a job."""
        failure = outcome.failure
        return cls(
            event="job-ended",
            stage=failure.stage if failure else None,
            status=outcome.status,
            seconds=round(sum(stage.seconds for stage in outcome.stages), 4),
            cpu_seconds=round(sum(stage.cpu_seconds for stage in outcome.stages), 4),
            peak_anonymous_bytes=max((stage.peak_anonymous_bytes for stage in outcome.stages), default=None),
            bytes=outcome.artifact.size if outcome.artifact else None,
            attempt=outcome.attempts if outcome.attempts > 1 else None,
            message=failure.message if failure else None,
            hint=failure.hint or None if failure else None,
        )
