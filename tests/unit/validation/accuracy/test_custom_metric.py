"""A custom metric."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from converter.core.errors import ConversionError, NotSupportedError
from converter.validation.accuracy.custom_metric import load, measure, origin


def call(inputs: Any) -> Any:
    return inputs


@pytest.fixture
def metric(tmp_path: Path) -> Any:
    def save(body: str) -> str:
        path = tmp_path / "mine.py"
        path.write_text(f"def metric(artifact, checkpoint, tokenizer):\n    {body}\n", encoding="utf-8")
        return f"{path}:metric"

    return save


def test_it_is_given_the_artifact_the_checkpoint_and_the_tokenizer_and_gives_figures(metric: Any) -> None:
    name = metric("return {'a': artifact({'x': 1})['x'], 'b': checkpoint({'x': 2.5})['x'], 'c': tokenizer, 'passed': True}")
    assert measure(name, call, call, 3) == {"a": 1.0, "b": 2.5, "c": 3.0, "passed": True}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise RuntimeError('no data')", "failed: RuntimeError: no data"),
        ("raise SystemExit(3)", "failed: SystemExit: 3"),
        ("return 3", "gave int in place of figures by name"),
        ("return {}", "gave dict in place of figures by name"),
        ("return {'a': float('nan')}", "returned nan for 'a', which is not a finite number"),
        ("return {'a': 'high'}", "returned 'high' for 'a', which is not a finite number"),
        ("return {1: 2.0}", "which is not a finite number"),
        ("return {'passed': 1}", "which is neither true nor false"),
    ],
)
def test_what_it_raises_and_what_are_no_figures_is_told_in_a_sentence(metric: Any, body: str, message: str) -> None:
    with pytest.raises(ConversionError, match="the metric ") as raised:
        measure(metric(body), call, call, None)
    assert message in raised.value.message


@pytest.mark.parametrize("name", ["nowhere.py:metric", "no_such_module_of_ours:metric", "json:no_such_function", "json.decoder:NaN"])
def test_one_that_is_not_there_is_told_before_anything_is_converted(name: str) -> None:
    with pytest.raises(NotSupportedError, match=name.partition(":")[0].replace(".", r"\.")):
        origin(name)


def test_one_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("1 / 0\n", encoding="utf-8")
    with pytest.raises(NotSupportedError, match="cannot be loaded: ZeroDivisionError"):
        origin(f"{tmp_path / 'mine.py'}:metric")


def test_it_is_known_by_what_is_in_it(metric: Any) -> None:
    first, again, other = (origin(metric(body)) for body in ("return {'a': 1}", "return {'a': 1}", "return {'a': 2}"))
    assert first == again != other
    assert origin(None) == {}


def test_a_module_of_the_working_folder_is_found_and_the_path_stays_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metric_of_this_test.py").write_text("def metric(*_):\n    return {'a': 1}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    before = [*sys.path]
    assert load("metric_of_this_test:metric")(call, call, None) == {"a": 1}
    assert sys.path == before
