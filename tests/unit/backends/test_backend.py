"""What every backend has by the contract alone."""

from __future__ import annotations

import pytest

from converter.backends import BACKENDS
from converter.core.errors import NotSupportedError


def test_a_backend_whose_packages_are_not_here_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the Neuron image, which has no ONNX Runtime."""
    onnx = BACKENDS["onnx"]
    onnx.check_environment(onnx.options())
    monkeypatch.setattr(type(onnx), "packages", ("torch", "no-such-runtime"))
    with pytest.raises(NotSupportedError, match="ONNX needs no-such-runtime, which is not installed here"):
        onnx.check_environment(onnx.options())
