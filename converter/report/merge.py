"""Join the reports of shards: each outcome once, none missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pydantic

from converter.core.errors import UsageError
from converter.core.files import read_at_most
from converter.core.records import Failure, Job, Outcome, Position, Pushed
from converter.report import JSON_NAME, Report, in_order

REPORT_LIMIT = 2**29
"""Bytes of the largest report that is read: an outcome has 5 kB, and a manifest 100,000 of them at most."""

_Place = tuple[int, int]


def merge(shards: Sequence[Path], expected: Iterable[Job], but: Path | None = None) -> Report:
    """Join the reports in `shards`, each a report.json or a folder with some, for the `expected` jobs of a manifest.

    `but` is a report to skip: an earlier merge. An outcome is identified by line, column and backend, because the manifest may have
    another path on each machine. A job without an outcome is a failure: its machine was lost. Raises UsageError for an invalid report,
    for two outcomes of one job, and for a report of another manifest.
    """
    jobs = {(_place(job.position), job.backend): job for job in expected}
    reports: dict[tuple[_Place, str], Path] = {}
    outcomes: list[Outcome] = []
    pushes: list[Pushed] = []
    for path in _files(shards, but):
        report = _read(path)
        for outcome in report.outcomes:
            key = (_place(outcome.position), outcome.backend)
            job = jobs.get(key)
            if job is None or str(job.source) != outcome.model:
                raise UsageError(
                    f"{path} tells of {_named(outcome)}, which the manifest does not ask for", "merge with the manifest that was converted"
                )
            if (other := reports.setdefault(key, path)) is not path:
                raise UsageError(f"{other} and {path} both tell of {_named(outcome)}", "leave out the one that does not count")
            outcomes.append(outcome.model_copy(update={"position": job.position}))
        manifest = {_place(job.position): job.position for job in jobs.values()}
        pushes += [pushed.model_copy(update={"position": manifest.get(_place(pushed.position))}) for pushed in report.pushes]
    lost = [_lost(job) for key, job in jobs.items() if key not in reports]
    return in_order([*outcomes, *lost], pushes)


def _place(position: Position | None) -> _Place:
    return (position.line, position.column) if position else (0, 0)


def _named(outcome: Outcome) -> str:
    return f"{outcome.position}: {outcome.model} to {outcome.backend}"


def _files(shards: Sequence[Path], but: Path | None) -> list[Path]:
    """The reports, each once. Raises UsageError for a shard without any."""
    paths: dict[Path, None] = {}
    for shard in shards:
        files = sorted(shard.rglob(JSON_NAME)) if shard.is_dir() else [shard]
        files = [file for file in files if but is None or file.resolve() != but.resolve()]
        if not files:
            raise UsageError(f"there is no {JSON_NAME} in {shard}", "name the folder that the shards' reports were brought to")
        paths.update(dict.fromkeys(files))
    return list(paths)


def _read(path: Path) -> Report:
    try:
        return Report.model_validate_json(read_at_most(path, REPORT_LIMIT))
    except OSError as error:
        raise UsageError(f"the report {path} cannot be read: {error.strerror}", "check --merge") from error
    except pydantic.ValidationError as error:
        hint = "bring it again, or leave it out: its jobs are then failures"
        raise UsageError(f"{path} is not a report that this version can read", hint) from error


def _lost(job: Job) -> Outcome:
    failure = Failure(
        stage="merge",
        kind="LostPart",
        message="no shard's report tells of it",
        hint="look at the log of the shard that had it, and run that shard again",
    )
    return Outcome.of(job, "failed", failure=failure)
