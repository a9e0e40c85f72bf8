"""The reason of a library's error."""

from __future__ import annotations


def reason(error: BaseException) -> str:
    """Return the first line of the error that caused all others, with its type."""
    while error.__cause__ is not None:
        error = error.__cause__
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
