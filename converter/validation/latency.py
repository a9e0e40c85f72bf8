"""How long one call takes, of the artifact and of the checkpoint: a hint that costs little, and no part of any judgement."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from converter.backends import Session
from converter.records import Case, Latency, Signature
from converter.validation.cases import Inputs
from converter.validation.reference import Reference

_CALLS = 5
_ENOUGH = 0.02  # seconds: once one side has taken so long no other call is made


def measure_latency(session: Session, reference: Reference, inputs: Sequence[Inputs], cases: Sequence[Case]) -> Latency | None:
    """Time the first of `inputs` that the artifact takes unpadded, so that both compute the same; None where it gave an error.

    `cases` are the inputs as they were compared, in order: both sides have run them, so nothing is timed that happens once. TorchScript
    optimises at its second call of a shape, and has had three by then (`behaviour_problems`), or every case padded to the one it takes.
    """
    for each, case in zip(inputs, cases, strict=True):
        if _is_whole(each.axes, session.signature):
            return None if case.error else _measure(session, reference, each)
    return None


def _measure(session: Session, reference: Reference, inputs: Inputs) -> Latency:
    ours: list[float] = []
    theirs: list[float] = []
    while len(ours) < _CALLS and max(sum(ours), sum(theirs)) < _ENOUGH:  # in turn, so that a busy moment is neither's alone
        ours.append(session.time(inputs.arrays))
        started = time.perf_counter()
        reference.run(inputs.arrays)
        theirs.append(time.perf_counter() - started)
    return Latency(axes=inputs.axes, seconds=min(ours), reference_seconds=min(theirs), calls=len(ours), threads=reference.threads)


def _is_whole(axes: Mapping[str, int], signature: Signature) -> bool:
    """Whether inputs of these lengths are of a shape that the artifact takes as they are."""
    shapes = signature.shapes
    return not shapes or any(all(axes.get(label, length) == length for label, length in shape.items()) for shape in shapes)
