"""The result of a conversion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class ConversionResult:
    """The result of a conversion beside its files.

    Args:
        reused: whether it took its result from the cache.
        shared_files: files of the checkpoint that the artifact needs, at its destination. Its staging folder has links to them.
        notes: notes for the user, a clause for one note.
        accept: called after the artifact has passed its validation.
        reject: called if a reused result did not pass.
    """

    reused: bool = False
    shared_files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    accept: Callable[[], None] = _nothing
    reject: Callable[[], None] = _nothing


def combine(results: Sequence[ConversionResult]) -> ConversionResult:
    """Combine the results of an artifact's files into one."""

    def accept() -> None:
        for result in results:
            result.accept()

    def reject() -> None:
        for result in results:
            result.reject()

    return ConversionResult(
        reused=any(result.reused for result in results),
        shared_files=tuple(dict.fromkeys(name for result in results for name in result.shared_files)),
        notes=tuple(dict.fromkeys(note for result in results for note in result.notes)),
        accept=accept,
        reject=reject,
    )
