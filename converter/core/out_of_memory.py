"""Errors of a library that has run out of memory."""

from __future__ import annotations

_MESSAGES = ("can't allocate memory", "std::bad_alloc", "bad allocation", "Cannot allocate memory", "failed to allocate")
"""The words of torch's allocator, the C++ libraries, the kernel and ONNX Runtime's arena."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or the cause of it, says that memory ran out."""
    while not isinstance(error, MemoryError) and error.__cause__ is not None:
        error = error.__cause__
    return isinstance(error, MemoryError) or any(message.lower() in str(error).lower() for message in _MESSAGES)
