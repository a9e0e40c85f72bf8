"""The processor that a variant was measured on."""

from __future__ import annotations

import platform
from pathlib import Path

from converter.validation.accuracy.cpu import processor


def test_extensions_that_matter_are_named_in_one_order_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu avx512_vnni sse avx2\n", encoding="utf-8")
    assert processor(tmp_path / "cpuinfo") == f"{platform.machine()} avx2 avx512_vnni"
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd i8mm asimddp\n", encoding="utf-8")
    assert processor(tmp_path / "cpuinfo") == f"{platform.machine()} asimddp i8mm"


def test_where_nothing_is_told_it_is_the_architecture_alone(tmp_path: Path) -> None:
    assert processor(tmp_path / "nowhere") == platform.machine()
