"""A verdict has the time of a call beside PyTorch's, also for an unchanged job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from converter.core.records import Outcome


@pytest.mark.parametrize("backend", ["onnx", "torchscript"])
def test_a_verdict_tells_what_a_call_took_beside_pytorch(
    tiny: Callable[..., Path], convert: Callable[..., Outcome], tmp_path: Path, backend: str
) -> None:
    made, again = (convert(tiny("bert"), tmp_path / backend, backend) for _ in range(2))
    assert (made.status, again.status) == ("converted", "skipped")
    assert made.verdict and made.verdict.latency and again.verdict
    latency = made.verdict.latency
    assert latency.axes == {"batch": 2, "sequence": 8}
    assert 0 < latency.seconds < 1 and 0 < latency.reference_seconds < 1
    assert 1 <= latency.calls <= 5
    assert again.verdict.latency == latency
