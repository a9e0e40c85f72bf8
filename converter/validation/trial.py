"""Run cases on both sides, the artifact and the checkpoint, and compare the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from converter.architectures import OnnxConfig
from converter.backends.session import Session
from converter.core.errors import ConversionError, InputError
from converter.core.reason import reason
from converter.core.records import Case, Comparison, Exactness, Generation
from converter.core.typing import Array
from converter.validation.case_inputs import Inputs
from converter.validation.compare import compare, kept_positions
from converter.validation.exactness import accepted, measure_exactness, widened
from converter.validation.interface import run
from converter.validation.past import OwnPast
from converter.validation.reference import Reference
from converter.validation.tolerance import Tolerance


@dataclass(frozen=True)
class Trial:
    """An artifact, the checkpoint that it is held against, and the tolerance."""

    session: Session
    reference: Reference
    config: OnnxConfig
    tolerance: Tolerance

    def run_longest(self, case: Inputs) -> tuple[Case, OwnPast | None]:
        """Compare the longest case; return the past that the checkpoint gives in it too, if it has one."""
        expected = self.reference.run(case.arrays) if self.config.use_past else None
        return self.run(case, expected), OwnPast(expected) if expected else None

    def run(self, case: Inputs, expected: Mapping[str, Array] | None = None) -> Case:
        """Compare one case; `expected` are the checkpoint's outputs, if it ran before."""
        try:
            outputs = run(self.session, case.arrays)  # first: the runtime needs more memory on the way than the reference does
        except (ConversionError, InputError) as error:
            return Case(name=case.name, axes=case.axes, error=self._fault(case, error.message))
        untrue = _untrue_label(self.session, {**case.arrays, **outputs})
        if untrue:
            return Case(name=case.name, axes=case.axes, error=untrue)
        expected = self.reference.run(case.arrays) if expected is None else expected
        missing = [name for name in expected if name not in outputs]
        if missing:
            return Case(name=case.name, axes=case.axes, error=f"it gives no {', '.join(missing)}")
        comparisons = tuple(self._compare(name, outputs[name], array, case) for name, array in expected.items())
        return Case(name=case.name, axes=case.axes, comparisons=comparisons)

    def _fault(self, case: Inputs, message: str) -> str:
        """Whose fault it is that the artifact does not run a case, in a clause."""
        try:
            self.reference.run(case.arrays)
        except Exception as also:  # whatever the model's own code raises over inputs that are not for it
            return f"neither it nor the checkpoint takes these inputs: {reason(also)}"
        return message

    def _compare(self, name: str, ours: Array, theirs: Array, case: Inputs) -> Comparison:
        kept = kept_positions(name, theirs, self.config, case.arrays)
        return compare(name, ours, theirs, kept, self.tolerance, self.config.feature.decides and not name.startswith("present."))

    def judge_by_float64(
        self, inputs: Sequence[Inputs], cases: list[Case], generation: Generation | None
    ) -> tuple[list[Case], tuple[Exactness, ...], Generation | None]:
        """Hold what misses the tolerance against float64; nothing is done for an artifact whose shapes are wrong, or whose runs fail."""
        compared = [comparison for case in cases for comparison in case.comparisons]
        missed = {comparison.output for comparison in compared if not comparison.close or comparison.top1_agreement not in (None, 1.0)}
        if generation and generation.problem and not generation.error:
            missed.add("logits")
        if not missed or any(case.error for case in cases) or not all(comparison.is_comparable for comparison in compared):
            return cases, (), generation
        names = [name for name in self.config.outputs if name in missed]
        judged, leads = measure_exactness(inputs, names, self.session, self.reference, self.config)
        by_name = {judgement.output: judgement for judgement in judged}
        cases = [accepted(case, by_name, lead) for case, lead in zip(cases, leads, strict=True)]
        if generation:
            generation = generation.by(widened(self.tolerance, by_name, "logits").atol)
        return cases, judged, generation


def _untrue_label(session: Session, arrays: Mapping[str, Array]) -> str:
    """The axis name with two lengths at once, in a clause; empty if there is none."""
    lengths: dict[str, int] = {}
    for spec in (*session.signature.inputs, *session.signature.outputs):
        for dim, length in zip(spec.shape, arrays[spec.name].shape, strict=False):
            if isinstance(dim, str) and dim != "?" and lengths.setdefault(dim, length) != length:
                return f"the axis {dim!r} is {lengths[dim]} long in one place and {length} in {spec.name!r}"
    return ""
