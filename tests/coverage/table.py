"""docs/reference/model-types.md, written from the results: errors, reasons of failures, and changes between versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from converter.architectures.auto import auto_models, known_types
from converter.report.markdown import cell
from tests.coverage import results
from tests.coverage.optimum import LISTED, NOT_OF_TRANSFORMERS
from tests.coverage.results import Result
from tests.coverage.rows import Row, all_types, rows_of
from tests.coverage.upstream import bug_of

PATH = Path(__file__).parents[2] / "docs/reference/model-types.md"
BACKENDS = {"onnx": "ONNX", "torchscript": "TorchScript"}


def write() -> None:
    """Write the table from all results that are kept."""
    versions = {version: results.read(path) for version, path in results.kept().items()}
    PATH.write_text("\n".join(text(versions)) + "\n", encoding="utf-8")


def text(versions: Mapping[str, Mapping[object, Result]]) -> Iterator[str]:
    """The lines of the page, of results by the version of transformers, the latest last."""
    version, outcomes = list(versions.items())[-1]
    by_type: dict[str, list[Result]] = defaultdict(list)
    for result in outcomes.values():
        by_type[result.row.model_type].append(result)
    yield "<!-- written by `make coverage-table`; the figures come from tests/coverage/results -->"
    yield "# Model types"
    yield ""
    yield from _summary(version, by_type)
    yield "## Passing features"
    yield ""
    yield "| model type | ONNX | TorchScript |"
    yield "|---|---|---|"
    for model_type, rows in sorted(by_type.items()):
        if any(row.passed for row in rows):
            yield f"| {model_type} | {_cells(rows, 'onnx')} | {_cells(rows, 'torchscript')} |"
    yield ""
    yield "## Failures"
    yield ""
    yield from _failures(by_type)
    yield from _untried(outcomes)
    yield from _without_features()
    yield from _optimum(by_type)
    yield from _changes(versions)


def _summary(version: str, by_type: Mapping[str, Sequence[Result]]) -> Iterator[str]:
    passing = {backend: [name for name, rows in by_type.items() if _passes(rows, backend)] for backend in BACKENDS}
    either = {name for names in passing.values() for name in names}
    yield (
        f"Of the {len(by_type)} model types that transformers {version} has a head for that can be exported, **{len(either)} pass for at"
        f" least one feature**: {len(passing['onnx'])} to ONNX and {len(passing['torchscript'])} to TorchScript."
    )
    yield ""
    yield (
        "Each row is a tiny checkpoint with random weights, made from the type's own configuration (tests/coverage/tiny.py), converted"
        " through the ordinary pipeline and validated at other shapes than it was captured at, with padding, and with a cache token by"
        " token. The figure is the largest absolute error. A configuration of another size, or with settings that the tiny one has not, is"
        " another model: whether *your* checkpoint passes, its own conversion says. `converter features MODEL_TYPE` lists every feature, of"
        " which the main ones are here. One that passes on ONNX with its cache was not tried without."
    )
    yield ""


def _passes(rows: Iterable[Result], backend: str) -> bool:
    return any(result.passed for result in rows if result.row.backend == backend)


def _cells(rows: Iterable[Result], backend: str) -> str:
    return "<br>".join(_cell(result) for result in sorted(rows, key=lambda item: item.row) if result.row.backend == backend)


def _cell(result: Result) -> str:
    if not result.passed:
        return f"× {result.row.feature}"
    return f"✓ {result.row.feature}{f' {result.error:.0e}' if result.error is not None else ''}"


def _failures(by_type: Mapping[str, Sequence[Result]]) -> Iterator[str]:
    yield "| model type | features | reason |"
    yield "|---|---|---|"
    for model_type, rows in sorted(by_type.items()):
        reasons: dict[str, list[str]] = defaultdict(list)
        for result in sorted(rows, key=lambda item: item.row):
            if not result.passed:
                bug = bug_of(result)
                message = f"{result.reason} ({bug})" if bug else result.reason
                reasons[message].append(f"{result.row.feature} ({BACKENDS[result.row.backend]})")
        for reason, features in reasons.items():
            yield f"| {model_type} | {', '.join(features)} | {cell(reason)} |"
    yield ""


def _untried(outcomes: Mapping[object, Result]) -> Iterator[str]:
    """The rows without a result; the next `make coverage-table` tries them."""
    missing = untried(outcomes)
    if missing:
        yield ("Not tried: a later transformers has them, their capture takes minutes, or a run ended before them:")
        yield ""
        for row in missing:
            yield f"- {row.model_type}, {row.feature}, {BACKENDS[row.backend]}"
        yield ""


def untried(outcomes: Mapping[object, Result]) -> list[Row]:
    """The rows without a result, except those whose feature passes with its cache: its first call has none."""
    return [
        row for row in rows_of(all_types()) if row not in outcomes and not (row.with_past in outcomes and outcomes[row.with_past].passed)
    ]


def _without_features() -> Iterator[str]:
    others = sorted(known_types() - set(all_types()))
    if others:
        yield "transformers has classes for other tasks only:"
        yield ""
        for name in others:
            yield f"- {name}: {', '.join(auto for auto, table in sorted(auto_models().items()) if name in table)}"
        yield ""


def _optimum(by_type: Mapping[str, Sequence[Result]]) -> Iterator[str]:
    """optimum-onnx's model types, by the result here."""
    passing = [name for name in LISTED if _passes(by_type.get(name, ()), "onnx")]
    failing = [name for name in LISTED if name not in passing and name not in NOT_OF_TRANSFORMERS]
    yield "## Model types of optimum-onnx"
    yield ""
    yield (
        f"optimum-onnx 0.1.0 registers {len(LISTED)} names. {len(passing)} of them are model types that pass here to ONNX,"
        f" {len(failing)} are not, and {len(NOT_OF_TRANSFORMERS)} are not model types of the supported transformers:"
    )
    yield ""
    yield "| name | reason |"
    yield "|---|---|"
    for name in failing:
        yield f"| {name} | {cell(_why(by_type.get(name, ()), name))} |"
    for name, why in NOT_OF_TRANSFORMERS.items():
        yield f"| {name} | {cell(why)} |"
    yield ""


def _why(rows: Sequence[Result], name: str) -> str:
    reasons = dict.fromkeys(result.reason for result in rows if result.row.backend == "onnx")
    if reasons:
        return "; ".join(reasons)
    if name in all_types():
        return "not tried, see above"
    return f"its classes are for other tasks: {', '.join(auto for auto, table in sorted(auto_models().items()) if name in table)}"


def _changes(versions: Mapping[str, Mapping[object, Result]]) -> Iterator[str]:
    """The changed results from each version to the next."""
    yield "## Changes between versions"
    yield ""
    names = list(versions)
    yield f"Versions of transformers with results: {', '.join(names)}."
    for before, after in pairwise(names):
        yield ""
        yield f"From {before} to {after}:"
        for row, result in versions[after].items():
            old = versions[before].get(row)
            if old and old.passed != result.passed:
                what = "passes now" if result.passed else f"fails now: {cell(result.reason)}"
                yield f"- {result.row.model_type}, {result.row.feature}, {BACKENDS[result.row.backend]}: {what}"
