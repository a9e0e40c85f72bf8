"""The jobs of a manifest."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from converter.core.errors import UsageError
from converter.core.records import Job
from converter.manifest import DEFAULT_BACKENDS, read_manifest


def read_jobs(manifest: Path, output: Path, backends: Sequence[str] = DEFAULT_BACKENDS, lines: Collection[int] | None = None) -> list[Job]:
    """The jobs of a manifest, one per entry and backend, in its order; with `lines`, those entries only.

    `backends` are for entries that name none. Raises ManifestError, and UsageError for a line without an entry.
    """
    jobs = [
        Job(
            source=entry.source,
            backend=backend,
            options=options,
            destination=output / entry.output / backend,
            model_folder=output / entry.output,
            position=entry.position,
        )
        for entry in read_manifest(manifest, backends)
        for backend, options in entry.backends.items()
    ]
    if lines is None:
        return jobs
    there = {job.position.line for job in jobs if job.position}
    if missing := sorted(set(lines) - there):
        raise UsageError(f"no model at line {', '.join(map(str, missing))} of {manifest}", "check --lines")
    return [job for job in jobs if job.position and job.position.line in lines]
