"""report.md, which is also the step summary."""

from __future__ import annotations

import re

import pytest

from converter.core.records import Bucket, Failure, FileRecord, Outcome, Position
from converter.report.figures import bytes_for_people
from converter.report.markdown import render, shapes_for_people
from tests.support.samples import artifact_record, case, comparison, failed, outcome, pushed, verdict


def rows(text: str) -> list[list[str]]:
    """The cells of every table row; a cell ends at a bar that no backslash escapes."""
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("| ")]


def render_one(record: Outcome) -> str:
    return render([record], [], "1 converted")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_000_000, "1.0 MB"), (438_000_000, "438.0 MB"), (10**13, "10000.0 GB")],
)
def test_sizes_are_told_in_decimal_units(size: int, text: str) -> None:
    assert bytes_for_people(size) == text


def test_a_row_tells_what_was_made_of_which_commit_and_how_far_off_it_is() -> None:
    header, row = rows(render_one(outcome(verdict=verdict(cases=(case(comparison(max_abs_error=2e-6, top1_agreement=1.0)),)))))[:2]
    cells = {name.strip(): cell.strip() for name, cell in zip(header, row, strict=True)}
    assert cells["model"] == "org/name"
    assert cells["commit"] == "`012345678901`"
    assert cells["outcome"] == "✅ converted"
    assert cells["largest error"] == "2.0e-06"
    assert cells["same top-1"] == "100.0%"
    assert (cells["seconds"], cells["peak memory"]) == ("1.5", "2.0 MB")


def test_a_failure_is_told_with_its_place_its_stage_and_what_to_do() -> None:
    text = render_one(failed(position=Position(file="models.txt", line=3, column=1)))
    assert "- **org/name** to onnx (models.txt:3:1), stage *fetch*: it is not there.\n  To do: look elsewhere." in text


@pytest.mark.parametrize("name", ["./a|b", "./a\n\n# b", "./<script>", "./`x`", "./a\\|b", "./[x](http://y)", "./![x](http://y)", "./*a*"])
def test_no_name_turns_into_markup(name: str) -> None:
    message = f"{name} is not there"
    outcomes = [outcome(model=name), failed(model=name, failure=Failure(stage="fetch", kind="x", message=message, hint=message))]
    text = render(outcomes, [], "")
    assert {len(row) for row in rows(text)[:3]} == {10}
    assert not re.search(r"^# b|<script|(?<!\\)`x|(?<!\\)\[x|(?<!\\)\*a\*", text, re.MULTILINE)


def test_every_case_is_told_and_a_wrong_one_is_marked() -> None:
    cases = (case(comparison()), case(comparison(close=False, max_abs_error=0.5)), case(error="it | does not run"))
    table = [[cell.strip() for cell in row] for row in rows(render_one(failed(verdict=verdict(cases=cases, notes=("no tokenizer",)))))[-3:]]
    assert [row[-1] for row in table] == ["✓", "❌", "❌"]
    assert table[1][3] == "5.0e-01"
    assert table[2][2] == "it \\| does not run"
    assert {len(row) for row in table} == {7}


def test_sizes_of_an_artifact_are_of_all_its_files() -> None:
    made = outcome()
    assert made.artifact
    files = tuple(FileRecord(path=name, size=600, mtime_ns=0, sha256="0" * 64) for name in "ab")
    row = rows(render_one(made.model_copy(update={"artifact": made.artifact.model_copy(update={"files": files})})))[1]
    assert row[5].strip() == "1.2 kB"


def test_the_shapes_that_an_artifact_takes_are_told() -> None:
    made = artifact_record(tried={"batch": (1, 5), "sequence": (1, 40)})
    assert shapes_for_people(made) == "it takes any shape; tried: batch 1 to 5, sequence 1 to 40"
    fixed = made.model_copy(update={"signature": made.signature.model_copy(update={"fixed": {"batch": 2, "sequence": 16}})})
    assert shapes_for_people(fixed).startswith("it takes batch 2, sequence 16 alone, pad to that; tried: ")
    buckets = tuple(Bucket(file=f"{length}", fixed={"batch": 2, "sequence": length}) for length in (8, 16))
    several = fixed.model_copy(update={"signature": fixed.signature.model_copy(update={"buckets": buckets}), "tried": {}})
    assert shapes_for_people(several) == "it takes batch 2, sequence 8 or batch 2, sequence 16 alone, pad to that; tried: nothing"
    assert "It takes any shape; tried: batch 1 to 5, sequence 1 to 40." in render_one(outcome(artifact=made))


def test_a_push_is_told_with_where_it_is_what_there_is_to_know_and_why_it_failed() -> None:
    failure = Failure(stage="push", kind="PushError", message="it | is not there", hint="look")
    gone = pushed(status="failed", failure=failure, url="", commit="", pull_request=None)
    text = render([], [pushed(notes=("a note",)), pushed(status="unchanged", pull_request=None), gone], "")
    table = [[cell.strip() for cell in row] for row in rows(text)[-3:]]
    assert table == [
        ["org/name", "✅ pushed", "[pull request 3](https://hub/org/name/discussions/3)", "a note"],
        ["org/name", "⏭️ there already", "[012345678901](https://hub/org/name/discussions/3)", ""],
        ["org/name", "❌ not pushed", "", "it \\| is not there. To do: look"],
    ]


def test_where_a_checkpoint_came_from_is_told_once() -> None:
    text = render([outcome(notes=("HF_HUB_OFFLINE is set",)), outcome(notes=("HF_HUB_OFFLINE is set",))], [], "")
    assert text.count("- **org/name**: HF_HUB_OFFLINE is set.") == 1
