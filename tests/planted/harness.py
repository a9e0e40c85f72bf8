"""Plants every fault, has its witness prove it and validation judge it; and the report."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from converter.errors import ConverterError
from converter.pipeline import revalidate
from tests.planted.bases import Good, Workshop
from tests.planted.fault import KINDS, Fault
from tests.planted.witness import Harm


@dataclass(frozen=True)
class Result:
    """What became of a fault: `problem` is what validation says of it, empty if it says nothing."""

    fault: Fault
    harm: Harm
    problem: str
    seconds: float

    @property
    def caught(self) -> bool:
        return bool(self.problem)


def judge(workshop: Workshop, fault: Fault) -> Result:
    """Plant a fault, prove it and validate the artifact. Raises RuntimeError if its base is refused."""
    good = workshop.good(fault.base)
    started = time.monotonic()
    with workshop.copy(good, fault.name) as folder:
        fault.plant(folder)
        if not fault.record:
            (folder / good.base.backend / "converter.json").unlink()
        harm = fault.witness.prove(good, folder)
        problem = validate(good, folder, fault)
    return Result(fault, harm, problem, time.monotonic() - started)


def validate(good: Good, folder: Path, fault: Fault | None = None) -> str:
    """What `converter validate` says is wrong with the artifact in a model's folder; empty if it passes."""
    asked: dict[str, object] = {} if fault and fault.record else {**good.base.asked, **good.tier(fault.asked if fault else {})}
    asked |= fault.asked if fault else {}
    try:
        _, verdict = revalidate(good.backend, folder / good.base.backend, good.source, asked)
    except ConverterError as error:
        return error.message or type(error).__name__
    return "" if verdict.passed else verdict.first_problem or "it has not passed"


def judge_all(workshop: Workshop, faults: Iterable[Fault]) -> Iterator[Result]:
    for fault in faults:
        yield judge(workshop, fault)


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
