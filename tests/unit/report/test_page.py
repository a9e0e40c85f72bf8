"""report.html as text: its parts, and that all its markup is ours. `tests/browser` looks at it."""

from __future__ import annotations

import math
import re
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from converter.core.records import Failure, Latency, Outcome, Position, Stage
from converter.report.figures import time_for_people
from converter.report.page import Batch, Scale, largest_of, output_errors, render
from tests.support.samples import artifact_record, case, comparison, failed, outcome, pushed, variant, verdict

WHEN = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
HOSTILE = "<img src=x onerror=alert(1)>\"'</script>"


def page(*outcomes: Outcome, **more: object) -> str:
    return render(outcomes, more.get("pushes", ()), "1 converted", WHEN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 ms"), (0.00123, "1.2 ms"), (0.25, "250 ms"), (4.82, "4.8 s"), (75.0, "1 min 15 s"), (7500.0, "2 h 05 min")],
)
def test_a_duration_is_told_as_people_read_it(seconds: float, text: str) -> None:
    assert time_for_people(seconds) == text


def test_the_policy_names_the_one_style_and_the_one_script_by_their_hashes_and_allows_nothing_else() -> None:
    text = page(outcome())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    for kind, directive in (("style", "style-src"), ("script", "script-src")):
        (body,) = re.findall(f"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        assert f"{directive} 'sha256-{b64encode(sha256(body.encode()).digest()).decode()}';" in policy[1]
    assert policy[1].startswith("default-src 'none'; ")
    assert "unsafe" not in policy[1]
    assert not re.search(r"""\s(?:src|style|on\w+)=["']|url\(|@import""", text)


def test_no_text_of_a_checkpoint_or_a_manifest_is_markup() -> None:
    failure = Failure(stage=HOSTILE, kind=HOSTILE, message=HOSTILE, hint=HOSTILE)
    wrong = verdict(problems=(HOSTILE,), notes=(HOSTILE,), runtime=HOSTILE, cases=(case(comparison(output=HOSTILE)), case(error=HOSTILE)))
    record = outcome(
        model=HOSTILE, feature=HOSTILE, destination=HOSTILE, position=Position(file=HOSTILE, line=1), notes=(HOSTILE,), verdict=wrong
    )
    push = pushed(repository=HOSTILE, url="javascript:alert(1)", notes=(HOSTILE,), failure=failure)
    text = page(record, failed(failure=failure), pushes=(push,))
    assert "<img" not in text
    assert text.count("</script>") == 1
    assert "&lt;img src=x onerror=alert(1)&gt;&#34;&#39;&lt;/script&gt;" in text
    assert 'href="javascript' not in text


def test_a_failure_is_told_with_its_sentence_its_hint_its_stage_and_its_place() -> None:
    text = page(failed(position=Position(file="models.txt", line=3, column=1)))
    assert '<p class="failure"><b>it is not there.</b> To do: look elsewhere.</p>' in text
    assert "<summary>stage fetch · default · 012345678901" not in text
    assert "models.txt:3:1" in text


def test_latency_stands_beside_pytorchs_and_what_has_none_has_an_empty_cell() -> None:
    latency = Latency(axes={"batch": 2}, seconds=0.001, reference_seconds=0.002, calls=5, threads=1)
    assert "1.0 ms <small>of 2.0 ms</small>" in page(outcome(verdict=verdict(latency=latency)))
    assert '<td role="cell" data-label="Latency"></td>' in page(outcome())


def test_an_outputs_largest_error_stands_beside_what_is_allowed_at_the_largest_value() -> None:
    cases = (case(comparison(max_abs_error=2e-6, max_rel_error=1e-6)), case(comparison(max_abs_error=4e-6, max_rel_error=2e-7)))
    (output,) = output_errors(verdict(cases=cases))
    assert (output.error, output.passed) == (4e-6, True)
    assert output.bound == pytest.approx(1e-5 + 1e-5 * 20)


@pytest.mark.parametrize("wrong", [math.inf, math.nan])
def test_an_error_that_is_no_number_is_the_largest_and_stands_at_the_end_of_the_scale(wrong: float) -> None:
    record = verdict(cases=(case(comparison(max_abs_error=1.0), comparison(output="other", close=False, max_abs_error=wrong)),))
    largest = largest_of(output_errors(record))
    assert largest and largest.name == "other" and not largest.passed
    assert Scale(-8, 0).place(wrong) == Scale(-8, 0).place(1.0)
    assert "✗ " in page(failed(verdict=record))


def test_the_scale_is_logarithmic_and_has_room_for_all() -> None:
    scale = Scale.of([outcome(verdict=verdict(atol=1e-4, cases=(case(comparison(max_abs_error=2.0)),)))])
    assert (scale.low, scale.high) == (-8, 1)
    assert scale.place(1e-5) - scale.place(1e-6) == pytest.approx(scale.place(1e-2) - scale.place(1e-3))
    assert (scale.place(0.0), scale.place(1e-30)) == (0.0, 0.0)


def test_the_sums_of_a_batch_are_those_of_its_jobs() -> None:
    stages = tuple(Stage(name=name, seconds=2.0, cpu_seconds=1.0, peak_anonymous_bytes=size) for name, size in (("a", 5), ("b", 9)))
    batch = Batch([outcome(stages=stages), outcome(stages=stages[:1]), failed(stages=())])
    assert [(stage.name, stage.seconds, stage.cpu_seconds, stage.peak_anonymous_bytes) for stage in batch.stages] == [
        ("a", 4.0, 2.0, 5),
        ("b", 2.0, 1.0, 9),
    ]
    assert (batch.seconds, batch.peak, batch.made, batch.weight_bytes) == (6.0, 9, 2, 20)
    assert [(part.colour, part.start, part.length) for part in batch.bar(stages)] == [(0, 0.0, 60.0), (1, 60.0, 60.0)]


def test_an_empty_batch_is_a_page_too() -> None:
    assert page().startswith("<!DOCTYPE html>")
    assert 'datetime="2026-02-03T04:05:06+00:00">2026-02-03 04:05 UTC<' in page()


def test_an_artifact_of_several_precisions_has_a_row_for_each_and_no_error_that_is_not_its_own() -> None:
    measured = verdict(
        variants=(variant(left_out={"<b>layer</b>": "8 bits"}), variant(name="q4", files=("model_q4.onnx",), problems=("lost",)))
    )
    text = page(outcome(verdict=measured, artifact=artifact_record(verdict=measured)))
    assert text.count("model_quantized.onnx") == text.count("model_q4.onnx") - 1 == 1  # a problem names its file
    assert "<b>layer</b>" not in text
    assert "1.0e-07" not in text.partition("<details>")[0]
