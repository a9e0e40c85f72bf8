"""The versions of libraries that this package is tested with: pyproject.toml has the same ranges, and a test holds the two together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

TESTED: Mapping[str, str] = {
    "torch": ">=2.13,<2.15",
    "transformers": ">=5.23,<5.25",
    "onnx": ">=1.23,<1.24",
    "onnx-ir": ">=1.1,<1.2",
    "onnxscript": ">=0.7,<0.8",
    "onnxruntime": ">=1.32,<1.33",
    "huggingface-hub": ">=2.4,<2.5",
    "safetensors": ">=0.8,<0.9",
}
"""By distribution, the minor versions with which the documented contract and the tests passed."""

LOADING = ("huggingface-hub", "safetensors")
"""What every conversion needs, whichever its backend."""


def untested(packages: Iterable[str], tested: Mapping[str, str] = TESTED) -> str:
    """Return a sentence about the installed versions that are outside the tested ranges.

    Args:
        packages: names of distributions; one that is not installed or has no range is passed over.
        tested: a version specifier for each distribution.

    Returns: the sentence, or an empty text if every version is a tested one.
    """
    from packaging.specifiers import SpecifierSet

    outside = []
    for package in dict.fromkeys(packages):
        try:
            installed = version(package)
        except PackageNotFoundError:
            continue
        if package in tested and not SpecifierSet(tested[package]).contains(installed, prereleases=True):
            outside.append(f"{package} {installed} (tested: {tested[package]})")
    if not outside:
        return ""
    return f"not tested with {', '.join(outside)}: artifacts are validated as always; if a conversion fails, install a tested version"
