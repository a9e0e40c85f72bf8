"""The tested versions are one fact: in the package, in pyproject.toml, in the lock, and in the warning of a run with others."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from converter.backends import BACKENDS
from converter.core.versions import LOADING, TESTED, untested
from tests.support import newest

ROOT = Path(__file__).resolve().parents[3]


def _install(folder: Path, **versions: str) -> Path:
    """A folder for the path of Python with the metadata of distributions."""
    for name, version in versions.items():
        metadata = folder / f"{name}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    return folder


def _requirements() -> Iterable[Requirement]:
    return map(Requirement, tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"])


def test_pyproject_allows_the_tested_versions_and_no_others() -> None:
    allowed = {requirement.name: requirement.specifier for requirement in _requirements() if requirement.name in TESTED}
    assert allowed == {name: SpecifierSet(tested) for name, tested in TESTED.items()}


def test_the_lock_has_tested_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {name.replace("_", "-").lower(): version for name, equal, version in (line.partition("==") for line in lines) if equal}
    assert all(SpecifierSet(tested).contains(pins[name]) for name, tested in TESTED.items())


def test_every_library_that_shapes_an_onnx_or_torchscript_artifact_has_a_tested_range() -> None:
    packages = {package for name in ("onnx", "torchscript") for package in BACKENDS[name].packages} | {*LOADING}
    assert packages == TESTED.keys()


def test_the_tested_versions_themselves_are_not_worth_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(_install(tmp_path, torch="2.14.1+cpu", transformers="5.23.0")))
    assert untested(["torch", "transformers", "no-such-distribution"]) == ""


def test_all_versions_outside_the_range_are_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(_install(tmp_path, torch="2.16.0.dev1", transformers="5.22.2")))
    assert untested(["torch", "transformers"]) == (
        f"not tested with torch 2.16.0.dev1 (tested: {TESTED['torch']}), transformers 5.22.2 (tested: {TESTED['transformers']}): "
        "artifacts are validated as always; if a conversion fails, install a tested version"
    )


def test_a_run_with_an_untested_version_says_so_once(tmp_path: Path) -> None:
    path = os.pathsep.join((str(_install(tmp_path / "path", transformers="5.99.0", onnxruntime="9.9.9")), str(ROOT)))
    (tmp_path / "models.txt").write_text("./none to=onnx\n./nowhere to=onnx,torchscript\n", encoding="utf-8")
    process = subprocess.run(
        [sys.executable, "-m", "converter", "--manifest", tmp_path / "models.txt", "--output", tmp_path / "out"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert (
        process.stderr.count("not tested with transformers 5.99.0")
        == process.stderr.count("onnxruntime 9.9.9")
        == process.stderr.count("not tested")
        == 1
    ), process.stderr


def test_the_canary_installs_the_newest_of_each_dependency() -> None:
    dependencies = [requirement.name for requirement in _requirements()]
    names = [*newest.names()]
    assert names[: len(dependencies)] == dependencies
    assert not any(set(name) & set("<>=!~ ") for name in names)
