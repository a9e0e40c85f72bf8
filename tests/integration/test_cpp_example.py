"""examples/cpp, built by its README against the installed libtorch, returns the checkpoint's outputs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from converter.core.records import Outcome
from tests.integration.test_torchscript import OWN_LONGFORMER
from tests.support.by_hand import Arrays, Shape, inputs_of, reference
from tests.support.contract import CONTRACT

EXAMPLE = Path(__file__).parents[2] / "examples/cpp"
BUILD, USE = re.findall(r"^```sh\n(.*?)^```$", (EXAMPLE / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

Convert = Callable[..., Outcome]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cpp")
    shutil.copy(EXAMPLE / "run.cpp", folder)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # `python` is the one that runs this
    built = subprocess.run(["sh", "-ec", BUILD], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder / "run"


def _run(program: Path, archive: Path, inputs: Arrays) -> subprocess.CompletedProcess[str]:
    arguments = [f"{name}={'x'.join(map(str, array.shape))}:{','.join(map(str, array.ravel()))}" for name, array in inputs.items()]
    return subprocess.run([program, archive, *arguments], capture_output=True, text=True, timeout=60, check=False)


def _outputs(text: str) -> list[Any]:
    arrays = []
    for line in text.splitlines():
        shape, _, values = line.removeprefix("[").partition("] ")
        arrays.append(np.array(values.split(), np.float32).reshape([int(length) for length in shape.split(", ")]))
    return arrays


def test_an_archive_of_each_architecture_runs_from_cpp(
    program: Path, tiny: Callable[..., Path], trace: Callable[[str, str], Outcome]
) -> None:
    """At a shape that was neither traced nor validated; inputs in no order, as they go in by name. One test, so that it is built once."""
    for model_type, rows in CONTRACT.items():
        feature = [name for name in rows if not name.endswith("-with-past")][-1]
        row = rows[feature]
        checkpoint = tiny(model_type, row["auto_class"])
        outcome = trace(model_type, feature)
        assert outcome.status == "converted", outcome.failure
        model = getattr(transformers, row["auto_class"]).from_pretrained(checkpoint)
        inputs = inputs_of(list(row["inputs"]), model, Shape(4, 13, source=13, choice=3))
        result = _run(program, Path(outcome.destination) / "model.pt", dict(reversed(inputs.items())))
        assert result.returncode == 0, f"{model_type}: {result.stderr}"
        expected = reference(model, inputs, list(row["outputs"]))
        for array, name in zip(_outputs(result.stdout), row["outputs"], strict=True):
            np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=row["atol"], err_msg=f"{name} of {model_type}")


def test_what_is_wrong_is_told_in_a_line(program: Path, tiny: Callable[..., Path], convert: Convert, tmp_path: Path) -> None:
    """Another shape than a guarded archive is for, before all."""
    path = tmp_path / "own.py"
    path.write_text(OWN_LONGFORMER)
    outcome = convert(tiny("longformer"), backend="torchscript", config=f"{path}:LocalOnly", sequence_length=5)
    assert outcome.artifact and outcome.artifact.signature.fixed == {"batch": 1, "sequence": 5}
    archive, tokens = Path(outcome.destination) / "model.pt", np.full((1, 6), 7)
    guarded = _run(program, archive, {"input_ids": tokens, "attention_mask": tokens // 7})
    assert (guarded.returncode, guarded.stdout) == (1, "")
    assert "input_ids has the shape [1, 6], and this model takes batch 1, sequence 5 alone: pad to that" in guarded.stderr
    beyond = _run(program, archive, {"input_ids": tokens[:, :5] * 1000, "attention_mask": tokens[:, :5] // 7})
    assert beyond.stderr == "RuntimeError: index out of range in self\n"
    assert guarded.stderr.count("\n") == 1
    missing = _run(program, archive, {"input_ids": tokens})
    assert missing.stderr.startswith("no attention_mask is given; the archive says:\n{")
    assert _run(program, path, {}).stderr.startswith("PytorchStreamReader failed")


def test_the_readme_uses_what_there_is() -> None:
    assert USE.startswith("converter torchscript --model=") and "./run torchscript/model.pt input_ids=1x4:" in USE
