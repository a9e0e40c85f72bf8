"""The stubs that stand on PyPI under the SDK's names, as an installer really lays them out, in an environment thrown away afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

STUBS = ("torch-neuron==1.0", "torch-neuronx==1.0", "neuronx-cc==1.0.post1", "neuron-cc==1.0.post1", "libneuronxla==1.0")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has the stubs beside all that this one has."""
    folder = tmp_path_factory.mktemp("stubs")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "beside.pth").write_text(f"{sysconfig.get_path('purelib')}\n{Path(__file__).parents[2]}\n")
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", *STUBS], check=True)
    return str(folder / "bin/python")


@pytest.mark.parametrize(
    ("target", "package", "to_do"), [("inf1", "torch-neuron", "AWS has archived it"), ("inf2", "torch-neuronx", "from AWS's own index")]
)
def test_a_stub_is_recognised_explained_and_a_failure(
    python: str, tiny: Callable[..., Path], tmp_path: Path, target: str, package: str, to_do: str
) -> None:
    asked = ["--model", tiny("bert"), "--target", target, "--batch-size=1", "--sequence-length=8", "--allow-unvalidated", tmp_path / "out"]
    result = subprocess.run([python, "-m", "converter", "neuron", *asked], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    message, hint = result.stderr.splitlines()[-2:]
    assert message == f"error: {package} 1.0 is the stub that stands on PyPI under that name, and no SDK (WRONG PACKAGE)"
    assert hint.startswith(f"  to do: pip uninstall {package}; ") and to_do in hint
    assert "Traceback" not in result.stderr and result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_the_stubs_do_not_get_in_the_way_of_a_check(python: str, tiny: Callable[..., Path], tmp_path: Path) -> None:
    asked = ["--model", tiny("bert"), "--target=inf2", "--batch-size=1", "--sequence-length=8"]
    environment = {**os.environ, "COLUMNS": "200"}
    result = subprocess.run(
        [python, "-m", "converter", "neuron", "--check", *asked], capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == 0, result.stderr
    assert "no operator takes a value" in result.stdout
