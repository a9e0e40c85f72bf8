"""AWS Neuron from Python: `export` a loaded model; `choose`, `pad` and `cut` to use the result.

`export` imports torch and the SDK, so it is imported on first use; the other three need neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from converter.backends.neuron import NeuronOptions
from converter.padding import choose, cut, pad

if TYPE_CHECKING:
    from converter.backends.neuron.export import export

__all__ = ["NeuronOptions", "choose", "cut", "export", "pad"]


def __getattr__(name: str) -> Any:
    if name == "export":
        from converter.backends.neuron import export

        return export.export
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
