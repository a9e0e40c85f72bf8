"""What each input matters: one is changed at a time, and the artifact has to move as the checkpoint does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from converter.architectures import OnnxConfig
from converter.backends.session import Session
from converter.core.errors import ConversionError, InputError
from converter.core.records import Influence
from converter.core.typing import Array
from converter.validation.case_inputs import InputGenerator, Inputs
from converter.validation.compare import kept_positions
from converter.validation.interface import run
from converter.validation.past import OwnPast
from converter.validation.reference import Reference


def measure_influences(
    session: Session, reference: Reference, config: OnnxConfig, generator: InputGenerator, past: OwnPast | None, share: float = 0.5
) -> Iterator[Influence]:
    """Change one input at a time: what moves the checkpoint has to move the artifact by a `share` of that, however little it is.

    It is measured with a past and without: an artifact that reads an input only once there is a past is wrong at the first call.
    """
    for where, base, changed in generator.variations(past):
        cases = [base, *changed.values()]
        expected_base, *expected = _run_each(reference.run, cases, generator)
        try:
            outputs_base, *outputs = _run_each(partial(run, session), cases, generator)
        except (ConversionError, InputError):
            return  # the cases tell it
        scale = max(float(np.abs(array).max(initial=0.0)) for array in expected_base.values())
        noise = 32 * float(np.finfo(reference.model.dtype).eps) * scale  # what another order of the same sums may move
        for (name, case), theirs, ours in zip(changed.items(), expected, outputs, strict=True):
            expected_change, change = (
                _largest_change(before, after, case, config) for before, after in ((expected_base, theirs), (outputs_base, ours))
            )
            # rows of one call may differ by noise alone, so that any change at all would prove nothing
            ignored = expected_change > noise and not change > expected_change * share
            yield Influence(input=name, where=where, reference_change=expected_change, artifact_change=change, passed=not ignored)


def _run_each(
    run_case: Callable[[Mapping[str, Array]], Mapping[str, Array]], cases: Sequence[Inputs], generator: InputGenerator
) -> list[dict[str, Array]]:
    """What each case gives: in one call, a row each, where every input and output has a batch that may be of any size."""
    if not generator.is_batched:
        return [dict(run_case(case.arrays)) for case in cases]
    outputs = run_case({name: np.concatenate([case.arrays[name] for case in cases]) for name in cases[0].arrays})
    return [{name: array[row : row + 1] for name, array in outputs.items()} for row in range(len(cases))]


def _largest_change(before: Mapping[str, Array], after: Mapping[str, Array], case: Inputs, config: OnnxConfig) -> float:
    """The largest change of any output at the positions that are padding in neither."""
    return max(
        float(
            np.max(
                np.abs(after[name].astype(np.float64) - array),
                where=np.broadcast_to(kept_positions(name, array, config, case.arrays), array.shape),
                initial=0.0,
            )
        )
        for name, array in before.items()
        if name in after and name in config.outputs
    )
