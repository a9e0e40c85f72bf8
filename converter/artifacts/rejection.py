"""The error for an artifact that failed its validation."""

from __future__ import annotations

from pathlib import Path

from converter.artifacts.staging import keep_rejected
from converter.core.errors import OutputError, ValidationError
from converter.core.records import Job, Options, Verdict


def is_accepted_unvalidated(verdict: Verdict, options: Options) -> bool:
    """Whether nothing measured it, nothing is known against it, and its user has said that this is enough."""
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
