"""GPT Neo: GPT-2's inputs and outputs, with layers that attend globally and within a window in turn.

transformers slices each layer's mask from a table of the longest text squared. The table would be 4 MB per layer in the file, and the
slice has lengths that torch.export cannot simplify. So the same mask is computed instead.

Relied on in transformers.models.gpt_neo.modeling_gpt_neo: `GPTNeoSelfAttention.bias`, of which only `[:, :, past:length, :length]` is
used, and `.attention_type`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from converter.architectures.architecture import Architecture
from converter.architectures.families.gpt2 import GPT2OnnxConfig

if TYPE_CHECKING:
    import torch


class GPTNeoOnnxConfig(GPT2OnnxConfig):
    def patch(self, model: torch.nn.Module) -> AbstractContextManager[None]:
        return patched(model)


@contextmanager
def patched(model: torch.nn.Module) -> Iterator[None]:
    """Let the GPT Neo inside `model` compute its masks instead of slicing a table."""
    import torch
    from transformers.models.gpt_neo.modeling_gpt_neo import GPTNeoSelfAttention

    tables = {module: module.bias for module in model.modules() if isinstance(module, GPTNeoSelfAttention)}
    try:
        for module in tables:
            del module.bias
            setattr(module, "bias", _Mask(module.config.window_size if module.attention_type == "local" else None))  # noqa: B010 - Module says it is a Buffer
        yield
    finally:
        for module, table in tables.items():
            del module.bias
            module.bias = torch.nn.Buffer(table, persistent=False)


@dataclass(frozen=True)
class _Mask:
    """What GPT Neo's table holds: whether a token, a row, sees another, a column; `window` is how many, None for all before it."""

    window: int | None

    def __getitem__(self, places: tuple[Any, Any, slice, slice]) -> torch.Tensor:
        import torch

        rows = torch.arange(places[2].start, places[2].stop)[:, None]
        columns = torch.arange(places[3].stop)[None]
        seen = columns <= rows
        if self.window is not None:
            seen = seen & (columns > rows - self.window)
        return seen[None, None]


ARCHITECTURE = Architecture(
    name="GPT Neo",
    model_type="gpt_neo",
    features=("default", "default-with-past", "causal-lm", "causal-lm-with-past", "sequence-classification"),
    onnx_config=GPTNeoOnnxConfig,
)
