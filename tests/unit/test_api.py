"""The names of the Python interface, and what is wrong in a call."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import converter
from tests.support.samples import save_checkpoint


def test_every_public_name_is_there_and_described() -> None:
    for name in converter.__all__:
        assert inspect.getdoc(getattr(converter, name)), name
    assert {*converter.__all__} <= {*dir(converter)}
    with pytest.raises(AttributeError, match="no attribute 'model'"):
        converter.model  # type: ignore[attr-defined]  # noqa: B018 - that is the point


@pytest.mark.parametrize("name", ["convert", "validate", "plan", "run", "push"])
def test_every_function_describes_each_argument_and_what_it_returns_and_raises(name: str) -> None:
    function = getattr(converter, name)
    text = inspect.getdoc(function) or ""
    for section in ("Args:", "Returns:", "Raises:", "Example:"):
        assert f"\n{section}\n" in text
    for parameter in inspect.signature(function).parameters:
        assert f"\n    {parameter}: " in text, parameter


def test_importing_it_costs_nothing_and_its_functions_no_torch() -> None:
    code = "import sys, converter; assert 'pydantic' not in sys.modules; converter.run; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "org/name", "to": "tflite"}, "unknown backend 'tflite'"),
        ({"model": "no name"}, "'no name' is neither a folder here nor a Hub id"),
        ({"model": "org/name", "opset": 3, "precision": ["q3"]}, "; opset: choose an opset from 18 to 25"),
        ({"model": "org/name", "depth": 3}, "depth: unknown option"),
        ({"model": "org/name", "to": "neuron"}, "target: field required; batch_size: field required"),
        ({"model": "org/name", "to": None}, "unknown backend 'None'"),
        ({"model": "org/name", "tokenizer": object()}, "tokenizer: it is for a loaded model"),
        ({"model": "org/name", "cache": 3}, "cache=3 is not a path"),
        ({"model": 3}, "int is neither a name nor a model of transformers"),
    ],
)
def test_all_that_is_wrong_in_a_call_is_named_before_anything_starts(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(converter.UsageError) as caught:
        converter.convert(**arguments, output=tmp_path / "out")
    assert message in caught.value.message
    assert caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_path_is_a_folder_and_backends_may_be_one_text(tmp_path: Path) -> None:
    with pytest.raises(converter.CheckpointError, match="no folder"):
        converter.convert(Path("name"), output=tmp_path / "out")
    save_checkpoint(tmp_path / "tiny")
    (tmp_path / "models.txt").write_text("./tiny\n")
    assert [job.backend for job in converter.plan(tmp_path / "models.txt", backends="torchscript, onnx")] == ["torchscript", "onnx"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"workers": 0}, "workers=0"), ({"workers": "2"}, "workers='2'"), ({"push": "x"}, "push='x'"), ({"backends": "x"}, "'x'")],
)
def test_a_batch_with_a_wrong_argument_starts_nothing(wrong: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "models.txt").write_text("org/name\n")
    with pytest.raises(converter.UsageError) as caught:
        converter.run(tmp_path / "models.txt", tmp_path / "out", **wrong)
    assert message in caught.value.message
    assert not (tmp_path / "out").exists()


@pytest.mark.torch
def test_a_failure_is_raised_as_the_error_of_its_kind(tmp_path: Path) -> None:
    with pytest.raises(converter.CheckpointError, match=r"has no config\.json"):
        converter.convert(tmp_path, output=tmp_path / "out")
    save_checkpoint(tmp_path, {"model_type": "nothing"})
    with pytest.raises(converter.NotSupportedError, match="'nothing' is not supported"):
        converter.convert(tmp_path, output=tmp_path / "out")


def test_a_manifest_and_a_missing_artifact_are_refused(tmp_path: Path) -> None:
    (tmp_path / "models.txt").write_text("org/name opset=3\norg/name to=tflite\n")
    with pytest.raises(converter.ManifestError) as caught:
        converter.plan(tmp_path / "models.txt")
    assert [position.line for position, _ in caught.value.problems] == [1, 2]
    with pytest.raises(converter.UsageError, match="no artifact at"):
        converter.validate(tmp_path, "org/name")
    with pytest.raises(converter.UsageError, match="None is not the name of a checkpoint"):
        converter.validate(tmp_path, None)  # type: ignore[arg-type]
    with pytest.raises(converter.UsageError, match="output=None is not a path"):
        converter.convert("org/name", output=None)  # type: ignore[arg-type]
    with pytest.raises(converter.UsageError, match="a pull request goes to main"):
        converter.push(tmp_path, to="org/name", create_pr=True, branch="dev")
