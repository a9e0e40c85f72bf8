"""Results go to standard output, all else to standard error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from converter.cli.console import Console, outcome_line, table
from converter.core.errors import ConverterError
from converter.core.records import Failure
from tests.support.samples import case, comparison, failed, outcome, verdict


@pytest.mark.parametrize(
    ("settings", "out", "err"),
    [
        ({}, "result\n", "aside\nerror: it failed\n  to do: mend it\n"),
        ({"quiet": True}, "", "error: it failed\n  to do: mend it\n"),
        ({"json": True}, "[\n  1\n]\n", "aside\nerror: it failed\n  to do: mend it\n"),
    ],
    ids=["plain", "quiet", "json"],
)
def test_what_is_said_goes_where_it_belongs(capsys: pytest.CaptureFixture[str], settings: dict[str, bool], out: str, err: str) -> None:
    console = Console()
    vars(console).update(settings)
    console.say("result")
    console.say_aside("aside")
    console.give([1])
    console.error(ConverterError("it failed", "mend it"))
    assert capsys.readouterr() == (out, err)


@pytest.mark.parametrize("debug", [False, True])
def test_the_traceback_of_a_job_is_told_on_request_only(capsys: pytest.CaptureFixture[str], debug: bool) -> None:
    console = Console()
    console.debug = debug
    console.failure(Failure(stage="fetch", kind="x", message="it failed", traceback="Traceback\n"), "models.txt:1:1: ours: ")
    assert capsys.readouterr().err == ("Traceback\n" if debug else "") + "error: models.txt:1:1: ours: it failed\n"


def test_a_document_with_infinite_errors_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is no JSON")

    console = Console()
    console.json = True
    errors = tuple(case(comparison(close=False, max_abs_error=float(error))) for error in ("inf", "nan"))
    console.give({"verdict": verdict(cases=errors).model_dump(mode="json")})
    assert json.loads(capsys.readouterr().out, parse_constant=refuse)["verdict"]["atol"] == 1e-5


def test_a_line_tells_what_became_of_a_job() -> None:
    assert outcome_line(outcome()) == "✓ org/name → onnx: 0 B in out/org/name/onnx, largest error 1.0e-07, 1.5 s"
    assert outcome_line(outcome(status="skipped")) == "= org/name → onnx: unchanged, 0 B in out/org/name/onnx"
    unknown = outcome(status="unvalidated", verdict=verdict(unvalidated="nothing runs it here", cases=()))
    assert outcome_line(unknown) == "? org/name → onnx: 0 B in out/org/name/onnx, NOT VALIDATED: nothing runs it here"
    assert outcome_line(failed()) == "✗ org/name → onnx: failed at stage fetch"


def test_columns_of_a_table_begin_below_one_another() -> None:
    assert table(("a", "b"), [("long", "x"), ("y", "")]) == "a     b\nlong  x\ny"
