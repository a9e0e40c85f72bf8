"""Events as lines: a log file of each job, which lies beside its record, and what is told of a batch to other programs."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path

from converter.ledger import LOG
from converter.records import Event, Job, LogFormat

_TOKENS = re.compile(r"hf_[A-Za-z0-9]{16,}|(?<=Bearer )\S+|(?<=://)[^/\s@]+:[^/\s@]+(?=@)|(?<=[?&]X-Amz-Signature=)\w+")
"""A token of the Hub's as it makes them, and what else opens doors in what a library may say of a request."""
_PLAIN = re.compile(r"[^\s\"=]+")


def line(event: Event, log_format: LogFormat) -> str:
    """An event in one line, without secrets: as JSON, or as `name=value`, a value quoted as JSON where it has to be."""
    dumped = event.model_dump(mode="json", exclude_none=True)
    fields = {name: redacted(value) if isinstance(value, str) else value for name, value in dumped.items()}
    if log_format == "json":
        return _json(fields)
    time, name = fields.pop("time"), fields.pop("event")
    return " ".join([time, name, *(f"{key}={_value(value)}" for key, value in fields.items())])


def _value(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) and text.isprintable() else _json(text)


def _json(value: object) -> str:
    """JSON in which nothing stands for itself that a terminal obeys, or that is no character."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)


def redacted(text: str) -> str:
    """A text without any token."""
    own = os.environ.get("HF_TOKEN", "").strip()
    return _TOKENS.sub("…", text.replace(own, "…") if own else text)


def about(job: Job, event: Event) -> Event:
    """The event, with the job that it happened to."""
    position = str(job.position) if job.position else None
    return event.model_copy(update={"model": str(job.source), "backend": job.backend, "position": position})


class JobLog:
    """The log of one job: while it runs, and where it fails, beside its destination by the same name with .log; in it with an artifact.

    Each line is written as it happens, so that one that is killed has told how far it came. A job that wants none has none. What
    cannot be written is left: no conversion fails for its log. `kept` is for a job whose artifact is there.
    """

    def __init__(self, job: Job, *, kept: bool = False) -> None:
        self._job = job
        self.path = job.destination / LOG if kept else job.destination.with_name(f"{job.destination.name}.log")

    def write(self, *events: Event) -> None:
        """Append a line for each event."""
        if self._job.log and events:
            with suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with open(self.path, "a", encoding="utf-8") as file:
                    file.writelines(f"{line(about(self._job, event), self._job.log)}\n" for event in events)

    def move(self, staged: Path) -> None:
        """Put what there is among what is staged, to come to lie beside the record."""
        with suppress(OSError):
            self.path.rename(staged / LOG)
