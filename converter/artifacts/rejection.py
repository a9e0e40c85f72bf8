"""The error for an artifact that failed its validation."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from pathlib import Path

import pydantic

from converter.artifacts.record_file import RECORD_LIMIT
from converter.core.errors import OutputError, ValidationError
from converter.core.files import read_at_most
from converter.core.output_errors import output_error
from converter.core.records import Job, Options, Verdict

REJECTED = ".rejected"
VERDICT = "converter.rejected.json"
"""Why an artifact was rejected, beside its files. A later rejection replaces only a folder that has it."""


def is_accepted_unvalidated(verdict: Verdict, options: Options) -> bool:
    """Whether the artifact was not validated, has no known problem, and its user accepts that."""
    return bool(verdict.unvalidated) and not verdict.problems and options.accepts_unvalidated


def rejection(verdict: Verdict, job: Job, staged: Path) -> ValidationError:
    kept = _kept(verdict, job, staged) if job.keep_rejected else ""
    if verdict.unvalidated and not verdict.problems:
        return ValidationError(
            f"the artifact could not be validated: {verdict.unvalidated}{kept}",
            "convert it on a machine that can run it, or keep it with --allow-unvalidated and run `converter validate` there",
            verdict,
        )
    lost = [f"{variant.files[-1]} {'; '.join(variant.problems)}" for variant in verdict.variants if not variant.passed]
    if lost:
        return ValidationError(
            f"{'. '.join(lost)}{kept}",
            "see every figure with --json; ask for a wider precision, or for less with --tier",
            verdict,
        )
    failed = next((comparison for case in verdict.cases for comparison in case.comparisons if not comparison.passed), None)
    if failed and failed.expected_nan and not verdict.problems:
        return ValidationError(
            f"nothing can be proven: {verdict.first_problem}{kept}", "check the checkpoint: PyTorch gives NaN for it too", verdict
        )
    allowed = "" if verdict.problems else "; a difference that you accept can be allowed with --atol"
    return ValidationError(
        f"the artifact does not match the checkpoint: {verdict.first_problem}{kept}",
        f"see every figure with --json{allowed}",
        verdict,
    )


def _kept(verdict: Verdict, job: Job, staged: Path) -> str:
    """Keep a rejected artifact; return its place, or why it could not be kept, as the end of a sentence."""
    try:
        return f"; it is kept in {keep_rejected(staged, verdict, job.destination)}"
    except OutputError as error:  # the verdict matters more
        return f"; it could not be kept: {error.message}"


def keep_rejected(folder: Path, verdict: Verdict, destination: Path) -> Path:
    """Move a staged artifact that failed its validation, and its verdict, to `.rejected/` beside `destination`.

    It replaces the last rejected one. A user's folder of that name stays, and another name is used.

    Returns: the new folder. Raises: OutputError.
    """
    parent = destination.parent / REJECTED
    kept = parent / destination.name
    try:
        if parent.is_symlink():
            raise OSError(errno.EINVAL, f"{parent} is a link; move it elsewhere")
        parent.mkdir(parents=True, exist_ok=True)
        (folder / VERDICT).write_text(verdict.model_dump_json(indent=2), encoding="utf-8")
        names = itertools.chain([destination.name], (f"{destination.name}-{number}" for number in itertools.count(2)))
        kept = next(parent / name for name in names if _is_free_for_rejected(parent / name))
        shutil.rmtree(kept, ignore_errors=True)
        folder.rename(kept)
    except OSError as error:
        raise output_error(kept, error) from error
    return kept


def _is_free_for_rejected(path: Path) -> bool:
    """Whether the name is free, or a rejected artifact has it."""
    if not os.path.lexists(path):
        return True
    try:
        return not path.is_symlink() and bool(Verdict.model_validate_json(read_at_most(path / VERDICT, RECORD_LIMIT)))
    except (OSError, pydantic.ValidationError):
        return False
