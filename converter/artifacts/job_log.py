"""Events as lines: the log file of each job beside its record, and the batch's events for other programs."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from converter.core.files import open_regular
from converter.core.records import Event, Job, LogFormat

LOG = "converter.log"
_TOKENS = re.compile(r"hf_[A-Za-z0-9]{16,}|(?<=Bearer )\S+|(?<=://)[^/\s@]+:[^/\s@]+(?=@)|(?<=[?&]X-Amz-Signature=)\w+")
"""Tokens of the Hub, and other secrets that a library may print of a request."""
_PLAIN = re.compile(r"[^\s\"=]+")


def line(event: Event, log_format: LogFormat) -> str:
    """An event in one line, without secrets: as JSON, or as `name=value` with values quoted as JSON if necessary."""
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
    """JSON with terminal controls and lone surrogates escaped."""
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
    """The log of one job: `NAME.converter.log` beside its destination while it runs and after a failure, otherwise inside.

    Each line is written at once, so that a killed job leaves its progress. A job without `log` has none. A log that cannot be written
    never fails a conversion. Another file of that name stays, and the log gets another name. `kept` is for a job with an artifact.
    A `buffered` log writes nothing before `flush`.
    """

    def __init__(self, job: Job, *, kept: bool = False, buffered: bool = False) -> None:
        self._job = job
        self._kept = kept
        self._buffer: list[Event] | None = [] if buffered else None

    @property
    def path(self) -> Path | None:
        """The path of the log; None if there is none."""
        return next(filter(self._is_own, self._places()), None) if self._job.log else None

    def write(self, *events: Event) -> None:
        """Append a line for each event."""
        if self._buffer is not None:
            self._buffer += events
            return
        if not self._job.log or not events:
            return
        with suppress(OSError):
            if any(self._append(path, events) for path in self._places()):
                return
            self._job.destination.parent.mkdir(parents=True, exist_ok=True)
            any(self._create(path, events) for path in self._places())

    def flush(self) -> None:
        """Write the buffered events; each further one is written at once."""
        events, self._buffer = self._buffer or (), None
        self.write(*events)

    def stage(self, staged: Path) -> None:
        """Copy the log into the staged folder, beside the record, unless the destination has another file there."""
        path, there = self.path, self._job.destination / LOG
        if path and (is_log(there) or not os.path.lexists(there)):
            with suppress(OSError):
                (staged / LOG).write_bytes(path.read_bytes())

    def keep(self) -> None:
        """Go on with the copy, now that it lies beside the record."""
        path = self.path
        self._kept = True
        if path and self._is_own(self._job.destination / LOG):
            with suppress(OSError):
                path.unlink()

    def _places(self) -> Iterator[Path]:
        destination = self._job.destination
        if self._kept:
            yield destination / LOG
        for number in range(1, _NAMES + 1):
            yield destination.with_name(f"{destination.name}.converter{f'-{number}' if number > 1 else ''}.log")

    def _is_own(self, path: Path) -> bool:
        return is_log(path, self._job)

    def _append(self, path: Path, events: Iterable[Event]) -> bool:
        if not self._is_own(path):
            return False
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:  # another run has just moved it
            return False
        self._write(descriptor, events)
        return True

    def _create(self, path: Path, events: tuple[Event, ...]) -> bool:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:  # somebody else's, or another run's that began this moment
            return self._append(path, events)
        first = () if events[0].event == _FIRST else (Event(event=_FIRST),)
        self._write(descriptor, (*first, *events))
        return True

    def _write(self, descriptor: int, events: Iterable[Event]) -> None:
        assert self._job.log
        text = "".join(f"{line(about(self._job, event), self._job.log)}\n" for event in events)
        with open(descriptor, "ab", buffering=0) as file:  # in one piece, as another run may write too
            file.write(text.encode())


_NAMES = 9
"""Names that are tried for a log, if somebody else has a file by the first."""
_FIRST: Final = "job-began"
"""The beginning of every log, which distinguishes it from a redirected file of the user."""
_BEGINNING = re.compile(rf"\d{{4}}-\d\d-\d\dT[\d:.]+Z {_FIRST} (model=.*? backend=[\w-]+)(?: |$)")
_LONGEST = 2**16  # bytes of a first line; a path has 4,096 at most


def is_log(path: Path, job: Job | None = None) -> bool:
    """Whether a file is the log of a job, by its first line; of this very `job`, if one is given. A link is none."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            return False
        with open_regular(path) as file:
            first = file.readline(_LONGEST).decode()
        about_job = _job_of(first.rstrip("\n"))
    except (OSError, ValueError, RecursionError):
        return False
    return about_job is not None and (job is None or about_job == _job_of(line(about(job, Event(event=_FIRST)), "text")))


def _job_of(first: str) -> str | None:
    """The model and backend in the first line of a log; None for another line."""
    if not first.startswith("{"):
        said = _BEGINNING.match(first)
        return said[1] if said else None
    fields = json.loads(first)
    if fields.get("event") != _FIRST or not {"time", "model", "backend"} <= fields.keys():
        return None
    return f"model={_value(fields['model'])} backend={fields['backend']}"
