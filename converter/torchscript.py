"""TorchScript from Python: `export` a model that is loaded already; `pad` and `cut` for an artifact that takes one shape alone.

`export` loads torch, and so is imported when it is first asked for.
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
