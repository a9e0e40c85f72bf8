"""Plants every fault, has its witness prove it and validation judge it; and the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from converter.core.errors import ConverterError
from converter.revalidation import revalidate
from tests.planted.bases import Good, Workshop
from tests.planted.fault import KINDS, Fault
from tests.planted.witness import Harm

_CRASH = "validation itself fails"


@dataclass(frozen=True)
class Result:
    """The result of a fault: `problems` are those of validation, a clause each; empty if it passes."""

    fault: Fault
    harm: Harm
    problems: tuple[str, ...]

    @property
    def caught(self) -> bool:
        """Whether validation refuses the artifact; an exception is not a verdict."""
        return bool(self.problems) and not self.problems[0].startswith(_CRASH)

    def __str__(self) -> str:
        state = "caught" if self.caught else "missed"
        if not self.harm.done:
            state = "NOT PROVEN"
        elif not self.caught and self.fault.impossible:
            state = "impossible to see"
        said = self.problems[0][:160] if self.problems else "passed"
        return f"{state}: {self.fault.kind} | {self.fault.name} | {self.fault.base} | {self.harm.message} | {said}"


def judge(workshop: Workshop, fault: Fault) -> Result:
    """Plant a fault, prove it and validate the artifact. Raises RuntimeError if its base cannot be converted."""
    good = workshop.good(fault.base)
    refusal = _refusal_of_good(workshop, good, fault)
    if refusal:
        return Result(fault, Harm(False, f"the good artifact is refused: {refusal[0]}"), ())
    with _copy(workshop, good, fault) as folder:
        try:
            fault.plant(folder)
        except (LookupError, ValueError, RuntimeError) as error:  # a graph that the surgery does not expect
            return Result(fault, Harm(False, f"cannot be planted: {error}"), ())
        harm = fault.witness.prove(good, folder)
        return Result(fault, harm, validate(good, folder, fault))


@contextmanager
def _copy(workshop: Workshop, good: Good, fault: Fault) -> Iterator[Path]:
    """A copy of the good model's folder as the fault is planted in it."""
    with workshop.copy(good, fault.name) as folder:
        fault.prepare(folder)
        if not fault.record:
            (folder / good.base.backend / "converter.json").unlink()
        yield folder


def _refusal_of_good(workshop: Workshop, good: Good, fault: Fault) -> tuple[str, ...]:
    """The problems of the good artifact under the fault's options: none, or the fault proves nothing."""
    key = f"{fault.asked} {fault.record}"
    if key not in good.verdicts:
        with _copy(workshop, good, fault) as folder:
            good.verdicts[key] = validate(good, folder, fault)
    return good.verdicts[key]


def validate(good: Good, folder: Path, fault: Fault) -> tuple[str, ...]:
    """What `converter validate` says is wrong with the artifact in a model's folder, a clause each; nothing if it passes."""
    asked: dict[str, object] = {} if fault.record else {**good.base.validation_options, **good.tier(fault.asked)}
    asked |= fault.asked
    try:
        _, verdict = revalidate(good.backend, folder / good.base.backend, good.source, asked)
    except ConverterError as error:
        return (error.message,)
    except Exception as error:  # validation has to judge whatever artifact there is
        return (f"{_CRASH} ({type(error).__name__}: {error})",)
    return () if verdict.passed else (*verdict.all_problems(),)


def judge_all(workshop: Workshop, faults: Iterable[Fault]) -> Iterator[Result]:
    for fault in faults:
        yield judge(workshop, fault)


def report(results: Iterable[Result]) -> str:
    """The table, the faults that are missed, and those that are impossible to see with the reason of each."""
    results = list(results)
    missed = [result for result in results if not result.caught and not result.fault.impossible]
    unseen = [result for result in results if not result.caught and result.fault.impossible]
    unproven = [result for result in results if not result.harm.done]
    lines = [table(results)]
    for title, some in (("Missed", missed), ("Not proven by their witness", unproven)):
        if some:
            lines += ["", f"{title}:", *(f"- {result.fault.name} ({result.fault.base})" for result in some)]
    if unseen:
        lines += [
            "",
            "Impossible to see:",
            *(f"- {result.fault.name} ({result.fault.base}): {result.fault.impossible}" for result in unseen),
        ]
    return "\n".join(lines)


def table(results: Iterable[Result]) -> str:
    """Caught and missed by kind, in Markdown; those that are impossible to see apart."""
    results = list(results)
    lines = ["| kind | planted | caught | missed | impossible to see |", "|---|---:|---:|---:|---:|"]
    for kind in (*KINDS, ""):
        of_kind = [result for result in results if kind in ("", result.fault.kind)]
        if not of_kind:
            continue
        impossible = sum(not result.caught and bool(result.fault.impossible) for result in of_kind)
        caught = sum(result.caught for result in of_kind)
        missed = len(of_kind) - caught - impossible
        lines.append(f"| {kind or '**all**'} | {len(of_kind)} | {caught} | {missed} | {impossible} |")
    return "\n".join(lines)
