"""Unexpected errors, in words for the user."""

from __future__ import annotations

from converter.core.errors import ConverterError
from converter.core.out_of_memory import is_out_of_memory
from converter.core.reason import reason


def internal_error(error: Exception | SystemExit) -> ConverterError:
    """Wrap an unexpected error, a bug of ours or of a library's, for the user."""
    problem = ConverterError("there is not enough memory", "run it with fewer --jobs, or on a machine with more memory")
    if not is_out_of_memory(error):
        problem = ConverterError(f"internal error: {reason(error)}", "report it, with what --debug shows")
    problem.__cause__ = error
    return problem
