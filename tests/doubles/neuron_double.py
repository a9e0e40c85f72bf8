"""Shared by the doubles of the Neuron SDKs: a double records its calls and returns a trace for this machine's CPU.

It contains nothing of the SDK, and can only show the shape of a call. As AWS documents of a compiled model, the result has no named
weights and takes the traced shape only.
"""

from __future__ import annotations

import json
import os
import warnings
from typing import Any

import torch

RUNS = "NEURON_DOUBLE_RUNS"
CALLS = "NEURON_DOUBLE_CALLS"


def note(name: str, **arguments: Any) -> None:
    """Add a call to the file that the environment names."""
    with open(os.environ[CALLS], "a", encoding="utf-8") as file:
        file.write(json.dumps({"name": name, **arguments}, default=_told) + "\n")


def _told(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), *value.shape]
    return f"{type(value).__name__}"


def shape_guard(tensor: torch.Tensor, sizes: list[int], dead: torch.Tensor) -> torch.Tensor:
    if bool(dead):
        raise RuntimeError("the double has no runtime")
    for axis, size in enumerate(sizes):
        if size >= 0 and tensor.size(axis) != size:
            raise RuntimeError("Incorrect tensor shape at input")
    return tensor


class _Static(torch.nn.Module):
    def __init__(self, model: Any, inputs: tuple[torch.Tensor, ...], dynamic: bool) -> None:
        super().__init__()
        self.model = model
        self._sizes = [[-1 if dynamic else tensor.shape[0], *tensor.shape[1:]] for tensor in inputs]
        self.register_buffer("dead", torch.tensor(False))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._guard = torch.jit.script(shape_guard)

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.model(*(self._guard(tensor, sizes, self.dead) for tensor, sizes in zip(inputs, self._sizes, strict=True)))


def traced(model: Any, inputs: tuple[torch.Tensor, ...], dynamic: bool = False) -> torch.jit.ScriptModule:
    """A frozen trace for the shape of `inputs` only, or for any batch if it is dynamic."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.jit.trace(_Static(model, inputs, dynamic).eval(), inputs, strict=False, check_trace=False)
        made.dead.fill_(os.environ.get(RUNS, "1") != "1")
        return torch.jit.freeze(made)
