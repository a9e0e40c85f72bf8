"""An artifact opened in its runtime."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from converter.backends.stored_weight import StoredWeight
from converter.core.records import Signature

if TYPE_CHECKING:
    from converter.core.typing import Array


class Session(Protocol):
    """An artifact, opened in its own runtime from the written files alone."""

    runtime: str
    signature: Signature
    unrunnable: str
    """Why this machine cannot run it, as a clause; empty if it can."""
    notes: Sequence[str]
    """Notes for the verdict on how it was run, a clause for one note."""
    has_all_weights: bool
    """Whether `weights` yields all weights; a compiler may hide some in code."""

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the outputs by name for inputs by name. Raises ConversionError with the runtime's message."""

    def time(self, inputs: Mapping[str, Array]) -> float:
        """Return the seconds of one call in the runtime, without the transfer to its process. Raises ConversionError."""

    def tokens_apart(self, name: str, vocabulary: int) -> Collection[int]:
        """Return the token ids below `vocabulary` that are constants of the artifact, so it may treat them apart in its input `name`."""

    def changes(self) -> Iterator[str]:
        """Yield the names of the artifact's state that runs have changed, or may change. A right artifact has none."""

    def weights(self) -> Iterator[StoredWeight]:
        """Yield the stored tensors one at a time, so that they are never all in memory."""

    def close(self) -> None:
        """Release the runtime. The session cannot run afterwards."""
