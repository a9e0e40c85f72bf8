"""A planned job, for people and programs."""

from __future__ import annotations

from typing import Literal

from converter.core.records.artifact import Failure
from converter.core.records.base import Count, Position, Record, Text

Action = Literal["convert", "cannot", "nothing: unchanged"]


class PlannedJob(Record):
    """What `run` would do with one job. `source` is the checkpoint at its commit, or a folder's digest; None if it is unknown."""

    model: Text
    source: Text | None
    backend: Text
    feature: Text | None
    weight_bytes: Count | None
    action: Action
    destination: Text
    position: Position | None = None
    failure: Failure | None = None
    notes: tuple[Text, ...] = ()
