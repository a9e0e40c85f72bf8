"""Every error of a user, as one tree.

    ConverterError                  exit code 1
    ├── UsageError                  exit code 2: the command line is wrong, nothing was started
    │   └── ManifestError           … or the manifest is, with every problem of it
    ├── CheckpointError             the source: missing, incomplete, damaged, refused
    ├── NotSupportedError           the architecture, the feature or an option's value
    ├── ConversionError             capturing or writing failed
    ├── InputError                  inputs that do not fit an artifact
    ├── ValidationError             the artifact does not match the checkpoint
    ├── OutputError                 the destination cannot be written
    └── PushError                   artifacts that cannot go to the Hub, or may not
        ├── AccessError             … because of the token
        ├── RevisionError           … because a branch or pull request is missing
        └── CardError               … because of their card

A message is one sentence on the event; the hint says what to do.
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
    """The artifact does not match its checkpoint; `verdict` has the figures. A ValueError, as documented."""

    def __init__(self, message: str, hint: str, verdict: Verdict) -> None:
        super().__init__(message, hint)
        self.verdict = verdict


class OutputError(ConverterError):
    """The destination cannot be written."""


class PushError(ConverterError):
    """Artifacts cannot go to the Hub, or may not; nothing changed there."""


class AccessError(PushError):
    """The token is missing, or has no write access to the destination."""


class RevisionError(PushError):
    """The repository lacks the branch, commit or pull request."""


class CardError(PushError):
    """The Hub does not take the card; without it the push may go through."""
