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
        ├── AccessError             … for what the token may not do
        ├── RevisionError           … for a branch or pull request that is not there
        └── CardError               … for their card

A message is one sentence that says what happened; the hint says what to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from converter.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from converter.core.records import Position, Verdict


class ConverterError(Exception):
    """An error with a sentence for the user, a hint, and the exit code of the command that meets it.

    `is_transient` is true if another attempt may succeed.
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


class AccessError(PushError):
    """There is no token, or it may not write where the artifacts are to go."""


class RevisionError(PushError):
    """There is no such branch, commit or pull request in the repository."""


class CardError(PushError):
    """The Hub does not take the card; without it the push may go through."""
