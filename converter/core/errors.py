"""Every error the user can meet, as one tree.

    ConverterError                  exit code 1
    ├── UsageError                  exit code 2: the command line is wrong, nothing was started
    │   └── ManifestError           … or the manifest is, with every problem of it
    ├── CheckpointError             the source: not there, incomplete, damaged, refused
    ├── NotSupportedError           the architecture, the feature or an option's value
    ├── ConversionError             capturing or writing failed
    ├── InputError                  inputs that an artifact cannot be given
    ├── ValidationError             the artifact does not do what the checkpoint does
    ├── OutputError                 the destination cannot be written
    └── PushError                   artifacts that cannot go to the Hub, or may not
        ├── RightsError             … for what the token may not do
        ├── RevisionError           … for a branch or pull request that is not there
        └── CardError               … for their card

A message is one sentence that says what happened; the hint says what to do about it.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from converter.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from converter.core.records import Position, Verdict


class ConverterError(Exception):
    """An error with a sentence for the user, a hint, and the exit code of the command that meets it.

    `passing` is true of one that another attempt may not meet.
    """

    exit_code = 1
    is_transient = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = printable(message)
        self.hint = printable(hint)

    def __str__(self) -> str:
        return self.message


class UsageError(ConverterError):
    """The command line is wrong; nothing was started."""

    exit_code = 2


class ManifestError(UsageError):
    """The manifest is wrong; `problems` are all that was found, each with its place."""

    def __init__(self, problems: Sequence[tuple[Position, str]]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(
            f"the manifest has {count} problem{'s' if count > 1 else ''}; nothing was started",
            "mend the lines named above and run again",
        )


class CheckpointError(ConverterError):
    """The checkpoint is not there, incomplete, damaged, or not to be loaded safely."""


class NotSupportedError(ConverterError, KeyError, ValueError):
    """The architecture, the feature or an option's value is none that this version can convert.

    It is a KeyError and a ValueError too, as `transformers.onnx` raised the one or the other.
    """


class ConversionError(ConverterError):
    """The graph could not be captured or the artifact not be made."""


class InputError(ConverterError, ValueError):
    """Inputs that an artifact cannot be given: one is missing, or longer than it takes."""


class ValidationError(ConverterError, ValueError):
    """The artifact does not do what its checkpoint does; `verdict` says how far it is off. A ValueError, as documented."""

    def __init__(self, message: str, hint: str, verdict: Verdict) -> None:
        super().__init__(message, hint)
        self.verdict = verdict


class OutputError(ConverterError):
    """The destination cannot be written."""


class PushError(ConverterError):
    """Artifacts that may not go to the Hub, or cannot; what was there is as it was."""


class RightsError(PushError):
    """There is no token, or it may not write where the artifacts are to go."""


class RevisionError(PushError):
    """There is no such branch, commit or pull request in the repository."""


class CardError(PushError):
    """The Hub does not take the card; without it the push may go through."""


_OS_ERRORS = {
    errno.ENOSPC: ("the disk is full", "free some space or choose another output folder"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or choose another output folder"),
    errno.EFBIG: ("the file would be larger than this system allows", "raise the limit or choose another output folder"),
    errno.EACCES: ("permission denied", "choose an output folder that you may write to"),
    errno.EPERM: ("permission denied", "choose an output folder that you may write to"),
    errno.EROFS: ("the file system is read-only", "choose an output folder that you may write to"),
    errno.ENOTDIR: ("a file stands where a folder is needed", "choose another output folder"),
    errno.EEXIST: ("a file stands where a folder is needed", "choose another output folder"),
}


def reason(error: BaseException) -> str:
    """What a library says went wrong, in a line: the first line of the error that caused all the others."""
    while error.__cause__ is not None:
        error = error.__cause__
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


_LACK_OF_MEMORY = ("can't allocate memory", "std::bad_alloc", "bad allocation", "Cannot allocate memory", "failed to allocate")
"""How torch's allocator, the C++ libraries, the kernel and ONNX Runtime's arena put it."""


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether there was not enough memory, in whatever words a library has for it."""
    while not isinstance(error, MemoryError) and error.__cause__ is not None:
        error = error.__cause__
    return isinstance(error, MemoryError) or any(words.lower() in str(error).lower() for words in _LACK_OF_MEMORY)


def internal_error(error: Exception | SystemExit) -> ConverterError:
    """What the user is told of an error that nobody thought of, which is a bug of ours or of a library's."""
    problem = ConverterError("there is not enough memory", "run it with fewer --jobs, or on a machine with more memory")
    if not is_lack_of_memory(error):
        problem = ConverterError(f"something went wrong that should not: {reason(error)}", "report it, with what --debug shows")
    problem.__cause__ = error
    return problem


def output_error(path: Path, error: OSError) -> OutputError:
    """Say in a sentence why `path` could not be written."""
    reason, hint = _OS_ERRORS.get(error.errno or 0, (error.strerror or str(error), "choose another output folder"))
    return OutputError(f"cannot write to {path}: {reason}", hint)
