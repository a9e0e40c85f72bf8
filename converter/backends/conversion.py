"""The result of a conversion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Conversion:
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


def combine(conversions: Sequence[Conversion]) -> Conversion:
    """Combine the conversions of an artifact's files into one."""

    def accept() -> None:
        for conversion in conversions:
            conversion.accept()

    def reject() -> None:
        for conversion in conversions:
            conversion.reject()

    return Conversion(
        reused=any(conversion.reused for conversion in conversions),
        shared_files=tuple(dict.fromkeys(name for conversion in conversions for name in conversion.shared_files)),
        notes=tuple(dict.fromkeys(note for conversion in conversions for note in conversion.notes)),
        accept=accept,
        reject=reject,
    )
