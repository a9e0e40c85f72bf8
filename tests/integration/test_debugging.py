"""A developer sees the steps of an export, switches off the patches of the exporter, and learns if these are at fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from converter.backends.onnx.capture import capture as capturing
from converter.core.records import Outcome

Convert = Callable[..., Outcome]


def test_each_step_of_an_export_is_logged_and_written_in_order(
    tiny: Callable[..., Path], command: Callable[..., Any], tmp_path: Path
) -> None:
    steps = tmp_path / "steps"
    result = command("onnx", "--model", tiny("bert"), "--optimize", "cpu", "-v", "--keep-intermediate", steps, tmp_path / "onnx")
    assert result.returncode == 0, result.stderr
    assert "model.onnx: capturing the graph" in result.stderr
    assert "FlattenTokensPass modified the graph (" in result.stderr
    names = [path.name for path in sorted((steps / "model").iterdir())]
    assert names[:4] == ["00-exported-program.txt", "01-captured.txt", "02-InlinePass.txt", "03-CommonSubexpressionEliminationPass.txt"]
    assert [name for name in names if "FlattenTokensPass" in name]
    assert "ExportedProgram" in (steps / "model" / names[0]).read_text(encoding="utf-8")
    assert "Softmax" in (steps / "model" / names[1]).read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in (steps / "model").iterdir()) < 20e6, "without the weights"


def test_without_verbose_no_step_is_logged_and_the_environment_switches_the_patches_off(
    tiny: Callable[..., Path], command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise AssertionError("a patch is in use")

    monkeypatch.setattr(capturing, "lean_exporter", fail)
    monkeypatch.setenv("CONVERTER_PLAIN_EXPORT", "1")
    result = command("onnx", "--model", tiny("bert"), tmp_path / "onnx")
    assert result.returncode == 0, result.stderr
    assert "capturing" not in result.stderr and "note" not in result.stderr


@contextmanager
def wrong_softmax() -> Iterator[None]:
    """A patch of the exporter that makes every attention of a captured model wrong."""
    softmax = torch.nn.functional.softmax

    def halved(*arguments: Any, **options: Any) -> torch.Tensor:
        return softmax(*arguments, **options) * 0.5

    torch.nn.functional.softmax = halved  # type: ignore[assignment]
    try:
        with capturing.quiet_exporter():
            yield
    finally:
        torch.nn.functional.softmax = softmax


def test_an_artifact_that_only_a_patch_makes_wrong_is_made_without_it_and_says_so(
    tiny: Callable[..., Path], convert: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVERTER_CACHE", str(tmp_path / "cache"))  # no graph of another test
    monkeypatch.setattr(capturing, "lean_exporter", wrong_softmax)
    outcome = convert(tiny("bert", seed=1), tmp_path / "onnx")
    assert outcome.status == "converted", outcome.failure
    (note,) = outcome.notes
    assert note.startswith("it matches only without the converter's patches of torch's exporter")
    assert note.endswith("report this")


def test_an_artifact_that_is_wrong_either_way_says_that_both_were_tried(
    tiny: Callable[..., Path], convert: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVERTER_CACHE", str(tmp_path / "cache"))  # no graph of another test
    monkeypatch.setattr(capturing, "lean_exporter", wrong_softmax)
    monkeypatch.setattr(capturing, "quiet_exporter", wrong_softmax_again)
    outcome = convert(tiny("bert", seed=1), tmp_path / "onnx")
    assert outcome.failure and outcome.failure.message.startswith("the artifact does not match the checkpoint")
    assert outcome.verdict and outcome.verdict.notes[-1] == "it was tried without the converter's patches of torch's exporter too"


_quiet = capturing.quiet_exporter


@contextmanager
def wrong_softmax_again() -> Iterator[None]:
    softmax = torch.nn.functional.softmax
    torch.nn.functional.softmax = lambda *arguments, **options: softmax(*arguments, **options) * 0.5  # type: ignore[assignment]
    try:
        with _quiet():
            yield
    finally:
        torch.nn.functional.softmax = softmax
