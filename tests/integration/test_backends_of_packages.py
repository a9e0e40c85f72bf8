"""A backend from outside the package, in one file: examples/backend/float32_copy.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/backend/float32_copy.py"
Converter = Callable[..., subprocess.CompletedProcess[str]]


def install(site: Path, *, name: str = "float32_copy", package: str = "float32-copy") -> Mapping[str, Any]:
    """Lay it out as an installer does: a module, and metadata with an entry point beside it. Returns arguments of `converter`."""
    metadata = site / f"{package.replace('-', '_')}-1.2.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(f"[converter.backends]\n{name} = float32_copy:BACKEND\n")
    shutil.copy(EXAMPLE, site)
    return {"env": {**os.environ, "PYTHONPATH": f"{site}:{ROOT}"}}


@pytest.fixture
def manifest(tiny: Callable[..., Path], tmp_path: Path) -> Path:
    shutil.copytree(tiny("bert"), tmp_path / "tiny")
    path = tmp_path / "models.txt"
    path.write_text("./tiny to=onnx,float32_copy\n")
    return path


def test_a_manifest_is_planned_divided_converted_reported_and_validated_again(manifest: Path, converter: Converter, tmp_path: Path) -> None:
    installed = install(tmp_path / "site")
    output = tmp_path / "out"
    plan = converter("plan", "--manifest", manifest, "--output", output, "--matrix", "2", **installed)
    assert [shard["lines"] for shard in json.loads(plan.stdout)["include"]] == ["1"]
    run = converter("run", "--manifest", manifest, "--output", output, **installed)
    assert run.returncode == 0, run.stderr
    report = json.loads((output / "report.json").read_text())
    assert [(outcome["backend"], outcome["status"]) for outcome in report["outcomes"]] == [
        ("float32_copy", "converted"),
        ("onnx", "converted"),
    ]
    assert "float32_copy" in (output / "report.md").read_text()
    record = json.loads((output / "tiny/float32_copy/converter.json").read_text())
    assert record["versions"]["float32-copy"] == "1.2"
    assert record["verdict"]["weights"]["compared"] > 30

    again = converter("validate", output / "tiny", "--reference", tmp_path / "tiny", "--json", **installed)
    assert [row["passed"] for row in json.loads(again.stdout)] == [True, True]


def test_its_own_command_converts_one_checkpoint_and_the_proof_finds_a_changed_weight(
    tiny: Callable[..., Path], converter: Converter, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    installed = install(tmp_path / "site")
    labels = tiny("bert", "AutoModelForSequenceClassification")
    assert converter("float32_copy", "--model", labels, tmp_path / "labels", **installed).returncode == 0
    made = converter("float32_copy", "--model", tiny("bert"), tmp_path / "copy", **installed)
    assert made.returncode == 0, made.stderr
    assert f"All good, model saved at: {tmp_path / 'copy/model.safetensors'}" in made.stdout
    weights = load_file(tmp_path / "copy/model.safetensors")
    weights["pooler.dense.bias"] += 1
    save_file(weights, tmp_path / "copy/model.safetensors", {"format": "pt"})
    again = converter("validate", tmp_path / "copy", "--reference", tiny("bert"), **installed)
    assert again.returncode == 1
    assert "does not match" in again.stderr


@pytest.mark.parametrize(
    ("name", "package", "problem"),
    [
        ("onnx", "float32-copy", "its name is 'float32_copy'; the entry point and it need the same name"),
        ("float32_copy", "another-name", "another-name is missing in its packages"),
    ],
)
def test_a_backend_that_cannot_be_used_is_named_and_hinders_no_other(
    name: str, package: str, problem: str, manifest: Path, converter: Converter, tmp_path: Path
) -> None:
    installed = install(tmp_path / "site", name=name, package=package)
    manifest.write_text("./tiny to=onnx profile=documented\n")
    run = converter("run", "--manifest", manifest, "--output", tmp_path / "out", **installed)
    assert run.returncode == 0, run.stderr
    assert f"note: the backend {name!r} of the package {package} is left out: {problem}" in run.stderr
    if name == "float32_copy":
        manifest.write_text("./tiny to=float32_copy\n")
        run = converter("run", "--manifest", manifest, "--output", tmp_path / "out", **installed)
        assert run.returncode == 2
        alone = converter("float32_copy", "--model", tmp_path / "tiny", tmp_path / "copy", **installed)
        assert (alone.returncode, problem in alone.stderr) == (2, True)
        assert f"models.txt:1:8: the backend 'float32_copy' of the package {package} is left out: {problem}" in run.stderr
