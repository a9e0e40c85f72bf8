"""report.md, which is also the step summary on GitHub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from converter.core.records import ArtifactSummary, Outcome, Pushed, Variant, Verdict
from converter.report import variants
from converter.report.figures import bytes_for_people

SIGNS = {
    "converted": "✅ converted",
    "skipped": "⏭️ unchanged",
    "unvalidated": "⚠️ not validated",
    "failed": "❌ failed",
    "cancelled": "⏹️ not started",
}
PUSH_SIGNS = {"pushed": "✅ pushed", "unchanged": "⏭️ there already", "failed": "❌ not pushed"}


def render(outcomes: Sequence[Outcome], pushes: Sequence[Pushed], summary: str) -> str:
    """The report: a table, pushes, failures with hints, and the figures of each artifact."""
    parts = (*_table(outcomes), *_variants(outcomes), *_pushes(pushes), *_failures(outcomes), *_notes(outcomes), *_details(outcomes))
    return "\n".join([f"# Conversions: {summary}", "", *parts, ""])


def shapes_for_people(artifact: ArtifactSummary) -> str:
    """At which shapes an artifact can be called, in a clause."""
    shapes = [", ".join(f"{axis} {length}" for axis, length in shape.items()) for shape in artifact.signature.shapes]
    fixed = " or ".join(shapes)
    tried = ", ".join(f"{axis} {shortest} to {longest}" for axis, (shortest, longest) in artifact.tried.items())
    return f"it takes {f'{fixed} alone, pad to that' if fixed else 'any shape'}; tried: {tried or 'nothing'}"


def _table(outcomes: Iterable[Outcome]) -> Iterator[str]:
    yield "| model | commit | backend | feature | outcome | size | largest error | same top-1 | seconds | peak memory |"
    yield "|---|---|---|---|---|---:|---:|---:|---:|---:|"
    for outcome in outcomes:
        verdict, artifact = outcome.verdict, outcome.artifact
        cells = (
            cell(outcome.model),
            f"`{short(artifact.source.identity)}`" if artifact else "",
            outcome.backend,
            outcome.feature or "",
            SIGNS[outcome.status],
            bytes_for_people(artifact.size) if artifact else "",
            _error(verdict),
            f"{verdict.top1_agreement:.1%}" if verdict and verdict.top1_agreement is not None and verdict.has_base_variant else "",
            f"{sum(stage.seconds for stage in outcome.stages):.1f}",
            bytes_for_people(max((stage.peak_anonymous_bytes for stage in outcome.stages), default=0)),
        )
        yield f"| {' | '.join(cells)} |"


def _variants(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """The variants of each artifact that has some."""
    for outcome in outcomes:
        precisions = outcome.verdict.variants if outcome.verdict else ()
        if precisions:
            yield from ("", f"## Precisions of {cell(outcome.model)}", "", *variant_table(precisions))


def variant_table(precisions: Sequence[Variant]) -> Iterator[str]:
    """The table of an artifact's variants, and its caption."""
    yield f"| {' | '.join(variants.HEADINGS)} |"
    yield f"|{'|'.join('---:' if name in variants.RIGHT else '---' for name in variants.HEADINGS)}|"
    for row in variants.rows(precisions):
        yield f"| {' | '.join(map(cell, row))} |"
    yield from ("", f"{cell(variants.sources(precisions))}")


def _failures(outcomes: Iterable[Outcome]) -> Iterator[str]:
    failed = [outcome for outcome in outcomes if outcome.failure]
    if failed:
        yield from ("", "## Failures", "")
    for outcome in failed:
        assert outcome.failure
        where = f" ({outcome.position})" if outcome.position else ""
        message = cell(outcome.failure.message)
        yield f"- **{cell(outcome.model)}** to {outcome.backend}{where}, stage *{outcome.failure.stage}*: {message}."
        if outcome.failure.hint:
            yield f"  To do: {cell(outcome.failure.hint)}."
        if outcome.log:
            yield f"  Its log: {cell(outcome.log)}."


def _pushes(pushes: Sequence[Pushed]) -> Iterator[str]:
    if pushes:
        yield from ("", "## Pushed to the Hub", "", "| repository | | commit | |", "|---|---|---|---|")
    for pushed in pushes:
        message = f"{pushed.failure.message}. To do: {pushed.failure.hint}" if pushed.failure else ". ".join(pushed.notes)
        name = f"pull request {pushed.pull_request}" if pushed.pull_request else pushed.commit[:12]
        where = f"[{name}]({pushed.url})" if pushed.url else ""
        yield f"| {cell(pushed.repository)} | {PUSH_SIGNS[pushed.status]} | {where} | {cell(message)} |"


def _notes(outcomes: Iterable[Outcome]) -> Iterator[str]:
    lines = [f"- **{cell(outcome.model)}**: {cell(note)}." for outcome in outcomes for note in outcome.notes]
    if lines:
        yield from ("", "## Where checkpoints came from", "", *dict.fromkeys(lines))


def _details(outcomes: Iterable[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        if not outcome.verdict:
            continue
        verdict = outcome.verdict
        yield from ("", "<details>", f"<summary>{cell(outcome.model)} to {outcome.backend}: every case</summary>", "")
        weights = verdict.weights
        wrong = "".join(f"; {cell(problem)}" for problem in weights.problems())
        equal = weights.compared - len(weights.different)
        if verdict.unvalidated:
            yield f"**Not validated**: {cell(verdict.unvalidated)}."
        else:
            yield f"{verdict.runtime}, atol {verdict.atol:g}, rtol {verdict.rtol:g}."
            yield f"{equal} tensors equal to the checkpoint's bit for bit{wrong}."
        if outcome.artifact:
            yield f"{shapes_for_people(outcome.artifact).capitalize()}."
        yield from (f"\nWrong: {cell(problem)}." for problem in verdict.problems)
        yield from ("", "| case | shape | output | largest error | relative | same top-1 | |", "|---|---|---|---:|---:|---:|---|")
        for case in verdict.cases:
            axes = ", ".join(f"{axis} {length}" for axis, length in case.axes.items())
            if case.error:
                yield f"| {case.name} | {axes} | {cell(case.error)} | | | | ❌ |"
            for comparison in case.comparisons:
                figures = (
                    figure(comparison.max_abs_error),
                    figure(comparison.max_rel_error),
                    "" if comparison.top1_agreement is None else f"{comparison.top1_agreement:.1%}",
                )
                yield f"| {case.name} | {axes} | {comparison.output} | {' | '.join(figures)} | {'✓' if comparison.passed else '❌'} |"
        for influence in verdict.influences:
            change = f"{figure(influence.artifact_change)} beside the checkpoint's {figure(influence.reference_change)}"
            yield from ("", f"{'✓' if influence.passed else '❌'} Another `{influence.input}` moves the outputs by {change}.")
        if verdict.notes:
            yield from ("", *(f"Note: {cell(note)}." for note in verdict.notes))
        yield from ("", "</details>")


def _error(verdict: Verdict | None) -> str:
    return figure(verdict.max_abs_error) if verdict and verdict.has_base_variant else ""


def figure(value: float | None) -> str:
    """An error for people; empty for none."""
    return "" if value is None else f"{value:.1e}"


def short(identity: str) -> str:
    """A checkpoint's identity, shortened."""
    kind, _, digest = identity.partition(":")
    return f"{digest[:12]}" if kind == "commit" else f"{kind}:{digest[:12]}"


def cell(text: str) -> str:
    """Text that a table can hold and that no name of a model can turn into markup."""
    escaped = re.sub(r"[\\|`*\[\]]", r"\\\g<0>", text).replace("<", "&lt;")
    return " ".join(escaped.split())
