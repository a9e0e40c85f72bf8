"""The processor that a variant was measured on: narrow products give other figures with other instructions."""

from __future__ import annotations

import platform
from pathlib import Path

_MATTER = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm", "bf16", "sve")
"""What ONNX Runtime has kernels for, as Linux calls it on x86 and on Arm."""


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The architecture, and its extensions for narrow products."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    flags = next((line.partition(":")[2].split() for line in lines if line.lower().startswith(("flags", "features"))), [])
    return " ".join((platform.machine(), *(name for name in _MATTER if name in flags)))
