"""How long one call takes, of the artifact and of the checkpoint: a hint that costs little, and no part of any judgement."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from converter.backends.session import Session
from converter.core.records import Case, Latency, Signature
from converter.core.typing import Array
from converter.validation.case_inputs import Inputs
from converter.validation.reference import Reference

_CALLS = 5
_ENOUGH = 0.02  # seconds: once one side has taken so long no other call is made
_CALLS_OF_TWO, _ENOUGH_OF_TWO = 20, 0.3  # of two variants, whose difference matters


def measure_latency(session: Session, reference: Reference, inputs: Sequence[Inputs], cases: Sequence[Case]) -> Latency | None:
    """Time the first of `inputs` that the artifact takes unpadded, so that both compute the same; None after an error.

    `cases` are the compared inputs, in order: both sides ran them, so no first-time costs are measured. TorchScript optimises at its
    second call of a shape, and has had three (`behaviour_problems`), or every case padded to its shape.
    """
    for sample, case in zip(inputs, cases, strict=True):
        if _is_whole(sample.axes, session.signature):
            return None if case.error else _measure(session, reference, sample)
    return None


def measure_pair(session: Session, other: Session, inputs: Inputs, threads: int) -> Latency:
    """Time two artifacts on the same inputs, which each ran twice before. Raises ConversionError if one fails."""
    for side in (session, other, session, other):
        side.time(inputs.arrays)
    return _in_turn(session, other.time, inputs, threads, _CALLS_OF_TWO, _ENOUGH_OF_TWO)


def _measure(session: Session, reference: Reference, inputs: Inputs) -> Latency:
    def time_reference(arrays: Mapping[str, Array]) -> float:
        started = time.perf_counter()
        reference.call(arrays)
        return time.perf_counter() - started

    return _in_turn(session, time_reference, inputs, reference.threads, _CALLS, _ENOUGH)


def _in_turn(
    session: Session, other: Callable[[Mapping[str, Array]], float], inputs: Inputs, threads: int, calls: int, enough: float
) -> Latency:
    ours: list[float] = []
    theirs: list[float] = []
    while len(ours) < calls and max(sum(ours), sum(theirs)) < enough:  # in turn, so that a busy moment is neither's alone
        ours.append(session.time(inputs.arrays))
        theirs.append(other(inputs.arrays))
    return Latency(axes=inputs.axes, seconds=min(ours), reference_seconds=min(theirs), calls=len(ours), threads=threads)


def _is_whole(axes: Mapping[str, int], signature: Signature) -> bool:
    """Whether the artifact takes inputs of these lengths unpadded."""
    shapes = signature.shapes
    return not shapes or any(all(axes.get(label, length) == length for label, length in shape.items()) for shape in shapes)
