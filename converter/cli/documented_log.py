"""A verdict in the format of the documented log."""

from __future__ import annotations

from collections.abc import Iterator

from converter.core.records import Comparison, Verdict


def documented_log(verdict: Verdict, title: str) -> str:
    """The lines from `Validating ONNX model...` on, with a backend's title; one line for each tried shape."""
    return "\n".join(_lines(verdict, title))


def _lines(verdict: Verdict, title: str) -> Iterator[str]:
    yield f"Validating {title} model..."
    yield from (f"\t-[x] {problem}" for problem in verdict.problems)
    if verdict.unvalidated:
        yield f"\t-[?] not validated: {verdict.unvalidated}"
    by_output: dict[str, list[Comparison]] = {}
    for case in verdict.cases:
        if case.error:
            shape = ", ".join(f"{axis} {length}" for axis, length in case.axes.items())
            yield f"\t-[x] {case.error} at {shape} ({case.name})"
        for comparison in case.comparisons:
            by_output.setdefault(comparison.output, []).append(comparison)
    if by_output and not verdict.problems:
        names = ", ".join(repr(name) for name in by_output)
        yield f"\t-[✓] {title} model output names match reference model ({{{names}}})"
    for name, comparisons in by_output.items():
        yield f'\t- Validating {title} Model output "{name}":'
        yield from _output_lines(comparisons, verdict)
    yield from _other_lines(verdict, title)


def _other_lines(verdict: Verdict, title: str) -> Iterator[str]:
    """The checks that the documented log did not have."""
    for influence in verdict.influences:
        if not influence.passed:
            yield f"\t-[x] the input {influence.input!r} matters to the reference model and not to the {title} model"
    if verdict.generation:
        generation, sign = verdict.generation, "x" if verdict.generation.problem else "✓"
        ties = f", {generation.ties} of them by a tie" if generation.ties else ""
        yield f"\t-[{sign}] {generation.problem or f'{generation.tokens} tokens generated as the reference model does{ties}'}"
    yield from (f"\t-[x] {problem}" for problem in verdict.weights.problems())
    if not verdict.has_base_variant:
        yield "\t- The lines above are on float32. The written files have another precision, with an accuracy drop:"
    for variant in verdict.variants:
        yield f"\t-[{'✓' if variant.passed else 'x'}] {variant.files[-1]}: {variant.summary}"
        yield from (f"\t\t-[x] {problem}" for problem in variant.problems)
    yield from (f"\t- note: {note}" for note in verdict.notes)


def _output_lines(comparisons: list[Comparison], verdict: Verdict) -> Iterator[str]:
    for comparison in comparisons:
        if comparison.shape == comparison.expected_shape:
            yield f"\t\t-[✓] {comparison.shape} matches {comparison.expected_shape}"
        else:
            yield f"\t\t-[x] shape {comparison.shape} doesn't match {comparison.expected_shape}"
    wrong = [
        problem
        for comparison in comparisons
        if comparison.shape == comparison.expected_shape
        for problem in comparison.problems(verdict.atol)
    ]
    sentence = verdict.decided_by_float64.get(comparisons[0].output)
    if sentence:
        yield f"\t\t-[{'x' if wrong else '✓'}] {sentence}"
    elif not wrong:
        yield f"\t\t-[✓] all values close (atol: {verdict.atol})"
    for problem in dict.fromkeys(wrong):
        yield f"\t\t-[x] values not close enough: {problem}"
