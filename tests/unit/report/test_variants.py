"""The table of an artifact's variants."""

from __future__ import annotations

from converter.report.markdown import render, variant_table
from converter.report.variants import HEADINGS, rows, sources
from tests.support.samples import artifact_record, outcome, variant, verdict


def test_a_row_has_size_loss_tier_and_latency_beside_float32() -> None:
    (row,) = rows([variant(custom_metrics={"recall": 0.5, "passed": True})])
    assert len(row) == len(HEADINGS)
    assert row == (
        "model_quantized.onnx",
        "2.5 kB",
        "0.25",
        "cosine 0.9950, at least 0.9900, 90.0% of nearest neighbours, recall 0.5, passed True",
        "lossy",
        "2.0 ms",
        "0.50",
        "layer.*.value (8 bits)",
    )


def test_what_was_not_measured_is_empty_and_what_failed_has_a_sign() -> None:
    (row,) = rows([variant(latency=None, reference_size=0, left_out={}, tier="any", problems=("lost too much",))])
    assert (row[2], row[4], row[5], row[6], row[7]) == ("", "✗ beyond lossy", "", "", "")


def test_what_the_figures_are_of_is_told_once() -> None:
    sentence = sources([variant(search=None), variant()])
    assert sentence == (
        "Loss over 320 inputs: texts. By onnxruntime 1 on x86_64 avx2, calls at batch 1, sequence 24 with 1 thread. "
        "7 settings were tried in 12 CPU s to choose."
    )
    assert sources([]) == ""


def test_a_pattern_of_names_is_no_markup() -> None:
    lines = list(variant_table([variant()]))
    assert r"layer.\*.value (8 bits)" in lines[2]
    assert lines[1].count("---:") == 4


def test_the_report_has_the_table_and_no_error_of_files_that_are_not_there() -> None:
    measured = verdict(variants=(variant(),))
    report = render([outcome(verdict=measured, artifact=artifact_record(verdict=measured))], [], "1 converted")
    assert "## Precisions of org/name" in report
    (line,) = (line for line in report.splitlines() if line.startswith("| org/name"))
    assert "1.0e-07" not in line  # it is of the float32 files
    exact = verdict(variants=(variant(name="fp32", is_base=True), variant()))
    report = render([outcome(verdict=exact)], [], "1 converted")
    assert "1.0e-07" in report
