"""Failures whose reason is a defect of a library, with where its smallest reproduction is."""

from __future__ import annotations

from tests.coverage.results import Result


def bug_of(result: Result) -> str:
    """What is known of the defect behind a failure, in a clause; empty where none is known."""
    return ""
