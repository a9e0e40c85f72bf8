"""The Neuron image has exact versions, and nothing of it is in the ordinary installation."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SDK = {"torch-neuronx", "neuronx-cc"}


def pins(name: str) -> dict[str, str]:
    """The lines of a requirements file; fails for one without an exact version."""
    lines = [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), lines
    return dict(line.split("==") for line in lines)


def test_no_extra_of_the_package_brings_a_stub() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "neuron" not in str(
        (project["project"]["dependencies"], project["project"].get("optional-dependencies"), project["dependency-groups"])
    )
    assert not any("neuron" in name for name in pins("constraints.txt"))


def test_the_image_has_the_versions_that_are_tested_and_leaves_the_sdk_its_own() -> None:
    ours = pins("requirements-neuron.txt")
    assert ours.keys() >= SDK
    tested = pins("constraints.txt")
    assert {name: version for name, version in ours.items() if name not in SDK} == {name: tested[name] for name in ours if name not in SDK}
    assert not {"torch", "torch-xla", "numpy", "protobuf", "onnx"} & ours.keys()


def test_what_is_built_without_a_target_is_the_ordinary_image() -> None:
    stages = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert stages == [("${BASE_IMAGE}", "builder"), ("${NEURON_IMAGE}", "neuron"), ("${BASE_IMAGE}", "")]
