"""TorchScript from Python: `export` a loaded model; `pad` and `cut` for an artifact with a fixed shape.

`export` imports torch, so it is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from converter.backends.torchscript import TorchScriptOptions
from converter.padding import cut, pad

if TYPE_CHECKING:
    from converter.backends.torchscript.export import export

__all__ = ["TorchScriptOptions", "cut", "export", "pad"]


def __getattr__(name: str) -> Any:
    if name == "export":
        from converter.backends.torchscript import export

        return export.export
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
