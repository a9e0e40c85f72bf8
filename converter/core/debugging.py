"""Settings for debugging an export. They are in no options, so they change no cache key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Debugging:
    """Settings of one job.

    Args:
        verbose: report log records of level DEBUG.
        plain_export: export without the converter's patches of torch's exporter.
        intermediates: the folder for exported programs and graphs; None to write none.
    """

    verbose: bool = False
    plain_export: bool = False
    intermediates: Path | None = None

    @property
    def changes_capture(self) -> bool:
        """Whether a cached graph would not do."""
        return self.plain_export or self.intermediates is not None


OFF = Debugging()
"""The settings of a job without debugging."""

_current: ContextVar[Debugging] = ContextVar("debugging", default=OFF)


def current() -> Debugging:
    """The settings of the running job."""
    return _current.get()


@contextmanager
def debugging(settings: Debugging) -> Iterator[None]:
    """Use other settings for a while."""
    token = _current.set(settings)
    try:
        yield
    finally:
        _current.reset(token)
