"""report.html: the batch as one file that a browser opens without a network; what changes nothing but its looks is in `page.*` beside."""

from __future__ import annotations

import math
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import converter
from converter.core.records import Comparison, Outcome, Pushed, Stage, Verdict
from converter.report import variants
from converter.report.figures import bytes_for_people, time_for_people
from converter.report.markdown import PUSH_SIGNS, SIGNS, figure, shapes_for_people, short

WIDTH = 120
"""Of every bar and every scale, in CSS pixels."""

_HERE = Path(__file__).parent
_COLOURS = 8  # of stages, in page.css; the ninth stage has the first one's again


def render(outcomes: Sequence[Outcome], pushes: Sequence[Pushed], summary: str, when: datetime) -> str:
    """The whole page; `when` is when the report is written, in UTC.

    All that comes from a checkpoint or a manifest is escaped, and the page's Content-Security-Policy lets it load nothing and run
    nothing but its own script: by the hashes of that and of its styles, so that what slipped through would do nothing either.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "size": bytes_for_people,
        "figure": figure,
        "short": short,
        "shapes": shapes_for_people,
        "time": time_for_people,
    }
    style, script = (Markup((_HERE / f"page.{kind}").read_text(encoding="utf-8")) for kind in ("css", "js"))  # noqa: S704 - they are ours
    return environment.get_template("page.html.jinja").render(
        batch=Batch(outcomes),
        outcomes=outcomes,
        pushes=pushes,
        summary=summary,
        when=when,
        version=converter.__version__,
        style=style,
        script=script,
        hash=_hash,
        states=_words(SIGNS),
        push_states=_words(PUSH_SIGNS),
        scale=Scale.of(outcomes),
        outputs=output_errors,
        largest_of=largest_of,
        seconds_of=seconds_of,
        peak_of=peak_of,
        pair=pair,
        width=WIDTH,
        variants=variants,
    )


def pair(before: float, after: float) -> tuple[float, float]:
    """The lengths of two bars, of which the longer is whole."""
    longer = max(before, after)
    return (before / longer * WIDTH, after / longer * WIDTH) if longer > 0 else (0.0, 0.0)


@dataclass(frozen=True)
class BarSegment:
    """A part of a stacked bar: the stage, its colour's number, its start and width in pixels."""

    stage: str
    colour: int
    start: float
    length: float


class Batch:
    """What there is to say of all jobs together."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.counts = Counter(outcome.status for outcome in outcomes)
        self.stages = tuple(_sums(stage for outcome in outcomes for stage in outcome.stages))
        made = [outcome.artifact for outcome in outcomes if outcome.artifact]
        self.made = len(made)
        self.weight_bytes = sum(artifact.source.weight_bytes for artifact in made)
        self.bytes = sum(artifact.size for artifact in made)
        self.versions: dict[str, list[str]] = {}
        for name, version in sorted({pair for artifact in made for pair in artifact.versions.items()}):
            self.versions.setdefault(name, []).append(version)
        self.notes: dict[str, list[str]] = {}
        for outcome in outcomes:
            for note in outcome.notes:
                self.notes.setdefault(note, []).append(outcome.model)
        self._colours = {stage.name: place % _COLOURS for place, stage in enumerate(self.stages)}
        self._longest = max((seconds_of(outcome.stages) for outcome in outcomes), default=0.0)

    @property
    def seconds(self) -> float:
        return seconds_of(self.stages)

    @property
    def cpu_seconds(self) -> float:
        return sum(stage.cpu_seconds for stage in self.stages)

    @property
    def peak(self) -> int:
        """Of the stage that took most memory, in bytes."""
        return peak_of(self.stages)

    def bar(self, stages: Iterable[Stage], whole: float | None = None) -> Iterator[BarSegment]:
        """The stages as a stacked bar, scaled to the longest job or to `whole` seconds."""
        start = 0.0
        whole = whole or self._longest
        for stage in stages:
            length = stage.seconds / whole * WIDTH if whole else 0.0
            yield BarSegment(stage.name, self._colours[stage.name], start, length)
            start += length


def seconds_of(stages: Iterable[Stage]) -> float:
    """The seconds of all stages."""
    return sum(stage.seconds for stage in stages)


def peak_of(stages: Iterable[Stage]) -> int:
    """The largest peak of any stage, in bytes; 0 for none."""
    return max((stage.peak_anonymous_bytes for stage in stages), default=0)


def _sums(stages: Iterable[Stage]) -> Iterator[Stage]:
    """Each stage of all jobs, by name in the order of their first: the sums of the seconds, the largest peak."""
    groups: dict[str, list[Stage]] = {}
    for stage in stages:
        groups.setdefault(stage.name, []).append(stage)
    for name, group in groups.items():
        yield Stage(
            name=name,
            seconds=seconds_of(group),
            cpu_seconds=sum(stage.cpu_seconds for stage in group),
            peak_anonymous_bytes=peak_of(group),
        )


@dataclass(frozen=True)
class OutputErrors:
    """One output over all cases: `comparisons` has one per case, None for a missing one.

    `largest` has the largest error, None without figures; `bound` is the tolerance at the largest value of the reference there,
    atol + rtol·|value|, the maximum for its elements.
    """

    name: str
    comparisons: tuple[Comparison | None, ...]
    largest: Comparison | None
    atol: float
    bound: float

    @property
    def error(self) -> float | None:
        return self.largest.max_abs_error if self.largest else None

    @property
    def passed(self) -> bool:
        return all(comparison.passed for comparison in self.comparisons if comparison)

    @property
    def top1_agreement(self) -> float | None:
        """The smallest of all cases."""
        return min(
            (comparison.top1_agreement for comparison in self.comparisons if comparison and comparison.top1_agreement is not None),
            default=None,
        )

    @property
    def top1_ties(self) -> int:
        return sum(comparison.top1_ties for comparison in self.comparisons if comparison)


def output_errors(verdict: Verdict) -> tuple[OutputErrors, ...]:
    """Every output that was compared in any case, in order."""
    names = dict.fromkeys(comparison.output for case in verdict.cases for comparison in case.comparisons)
    cases = [{comparison.output: comparison for comparison in case.comparisons} for case in verdict.cases]
    return tuple(_errors_of(name, [case.get(name) for case in cases], verdict) for name in names)


def largest_of(errors: Iterable[OutputErrors]) -> OutputErrors | None:
    """The output with the largest error, as in the verdict; None without figures."""
    return max((output for output in errors if output.largest), key=lambda output: _size(output.largest), default=None)


def _errors_of(name: str, comparisons: Sequence[Comparison | None], verdict: Verdict) -> OutputErrors:
    largest = max(
        (comparison for comparison in comparisons if comparison and comparison.max_abs_error is not None), key=_size, default=None
    )
    bound = verdict.atol
    # max_rel_error is max_abs_error over the largest value of the reference, so this is that value
    if largest and largest.max_abs_error and largest.max_rel_error and math.isfinite(largest.max_abs_error / largest.max_rel_error):
        bound += verdict.rtol * largest.max_abs_error / largest.max_rel_error
    return OutputErrors(name, tuple(comparisons), largest, verdict.atol, bound)


def _size(comparison: Comparison | None) -> tuple[bool, float]:
    """NaN counts as the largest."""
    error = (comparison and comparison.max_abs_error) or 0.0
    return (error != error, error)


@dataclass(frozen=True)
class Scale:
    """A logarithmic scale of errors for a whole page, from ten to the power of `low` to ten to the power of `high`."""

    low: int
    high: int

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Scale:
        """One that has room for all errors and tolerances, within reason."""
        shown = [1e-8, 1e-3]
        for outcome in outcomes:
            if outcome.verdict:
                shown += (
                    outcome.verdict.atol,
                    *(comparison.max_abs_error or 0.0 for case in outcome.verdict.cases for comparison in case.comparisons),
                )
        shown = [value for value in shown if value > 0 and math.isfinite(value)]
        return cls(max(-12, math.floor(math.log10(min(shown)))), min(6, math.ceil(math.log10(max(shown)))))

    def place(self, value: float) -> float:
        """The position of a value, in pixels from the left: 0 at the start, NaN and infinity at the end."""
        if value <= 0:
            return 0.0
        power = math.log10(value) if math.isfinite(value) else self.high
        return min(1.0, max(0.0, (power - self.low) / (self.high - self.low))) * WIDTH


def _words(signs: Mapping[str, str]) -> dict[str, str]:
    """The name of a state, without its sign."""
    return {state: word.partition(" ")[2] for state, word in signs.items()}


def _hash(text: str) -> Markup:
    """A script or style as a Content-Security-Policy names it."""
    return Markup("'sha256-{}'").format(b64encode(sha256(text.encode()).digest()).decode())
