"""The table equals the results."""

from __future__ import annotations

from pathlib import Path

from tests.coverage import results, table
from tests.coverage.optimum import LISTED, NOT_OF_TRANSFORMERS
from tests.coverage.results import Result, brief
from tests.coverage.rows import Row, all_types, rows_of

ALBERT = Row("albert", "masked-lm", "onnx")
TRACED = Row("albert", "masked-lm", "torchscript")
OPT = Row("opt", "causal-lm-with-past", "onnx")
FOUND = {
    ALBERT: Result(ALBERT, passed=True, error=2e-7),
    TRACED: Result(TRACED, passed=True, error=None),
    OPT: Result(OPT, passed=False, reason="it | broke"),
}


def lines(*versions: dict[Row, Result]) -> list[str]:
    return list(table.text({f"5.{number}.0": outcomes for number, outcomes in enumerate(versions)}))


def test_a_model_type_has_a_line_with_its_errors_and_a_failure_its_reason() -> None:
    page = lines(FOUND)
    assert "| albert | ✓ masked-lm 2e-07 | ✓ masked-lm |" in page
    assert "| opt | causal-lm-with-past (ONNX) | it \\| broke |" in page
    assert not any(line.startswith("| opt | ✓") for line in page)
    assert any("**1 pass for at least one feature**: 1 to ONNX and 1 to TorchScript" in line for line in page)


def test_a_type_that_passes_in_part_has_both() -> None:
    page = lines({**FOUND, TRACED: Result(TRACED, passed=False, reason="no trace")})
    assert "| albert | ✓ masked-lm 2e-07 | × masked-lm |" in page
    assert "| albert | masked-lm (TorchScript) | no trace |" in page


def test_what_changed_from_version_to_version_is_told() -> None:
    page = lines(FOUND, {**FOUND, ALBERT: Result(ALBERT, passed=False, reason="gone"), OPT: Result(OPT, passed=True, error=1e-6)})
    assert "From 5.0.0 to 5.1.0:" in page
    assert "- albert, masked-lm, ONNX: fails now: gone" in page
    assert "- opt, causal-lm-with-past, ONNX: passes now" in page


def test_every_name_that_optimum_lists_is_told_of() -> None:
    page = "\n".join(lines(results.latest()))
    passing = {row.model_type for row, result in results.latest().items() if result.passed and row.backend == "onnx"}
    for name in LISTED:
        assert name in passing or f"\n| {name} | " in page.split("## Model types of optimum-onnx")[1], name
    assert NOT_OF_TRANSFORMERS.keys() <= {*LISTED}


def test_the_page_in_the_documentation_is_that_of_the_kept_results() -> None:
    versions = {version: results.read(path) for version, path in results.kept().items()}
    assert table.PATH.read_text(encoding="utf-8") == "\n".join(table.text(versions)) + "\n"


def test_every_row_has_a_result_or_is_told_as_not_tried() -> None:
    outcomes = results.latest()
    rows = {*rows_of(all_types())}
    assert outcomes.keys() <= rows
    page = table.PATH.read_text(encoding="utf-8").splitlines()
    for row in table.untried(outcomes):
        assert f"- {row.model_type}, {row.feature}, {table.BACKENDS[row.backend]}" in page
    for row in rows - outcomes.keys() - {*table.untried(outcomes)}:  # its first call equals the one with a cache
        assert outcomes[row.with_past].passed


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results.write(tmp_path / "some" / "results.json", FOUND)
    assert results.read(tmp_path / "some" / "results.json") == FOUND
    assert results.read(tmp_path / "nowhere") == {}


def test_a_reason_has_no_path_of_a_machine_in_it() -> None:
    assert brief("it lies in /tmp/some/where/model.onnx,\n and is long") == "it lies in …, and is long"
    assert len(brief("x" * 1000)) < 300


def test_the_readme_has_the_number_of_the_page() -> None:
    outcomes = results.latest().values()
    passing = {result.row.model_type for result in outcomes if result.passed}
    readme = (table.PATH.parents[2] / "README.md").read_text(encoding="utf-8")
    assert f" {len(passing)} of the model types of transformers pass, " in readme
