"""A model as a compiler of one static call sees it: marked as traced, and watched for decisions on values."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from converter.checkpoints import cache_tensors, calling, export_wrappers, sample_inputs


@contextmanager
def reporting_tracing() -> Iterator[None]:
    """Within it transformers takes no shortcut by the values of a mask.

    torch.jit.trace lets it know by itself, and XLA, which torch_neuronx.trace records with, does not: traced so with a mask of ones
    alone, a model leaves its mask out and answers wrongly to padded texts.
    """
    from transformers.utils import import_utils

    own = import_utils.is_jit_tracing
    import_utils.is_jit_tracing = lambda: True
    try:
        yield
    finally:
        import_utils.is_jit_tracing = own


@dataclass(frozen=True)
class Decision:
    """An operator that read a value for a decision or a length, and the line of the model's code."""

    operator: str
    place: str


class Decisions(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own lacks types
    """Record each operator whose result's shape or Python value depends on the values of `tensors` or of derived tensors."""

    def __init__(self, tensors: Iterable[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.decisions: list[Decision] = []
        self._seen: dict[int, StorageWeakRef] = {}  # keeps the address from being used by another storage
        for tensor in tensors:
            self._note(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if any(tensor.untyped_storage()._cdata in self._seen for tensor in tensors):
            if _decides(func, args):
                self.decisions.append(Decision(str(func.name()), _place()))
            changed = tensors[:1] if func._schema.is_mutable else []  # torch writes to the first argument, even if it is a view
            for leaf in (*changed, *tree_leaves(result)):
                if isinstance(leaf, torch.Tensor):
                    self._note(leaf)
        return result

    def _note(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        self._seen.setdefault(storage._cdata, StorageWeakRef(storage))  # type: ignore[no-untyped-call]


def _decides(func: Any, args: Sequence[Any]) -> bool:
    """Whether torch says of an operator that a value decides on its result; of indexing it says so, and means indexing by a mask."""
    if func is torch.ops.aten.index.Tensor:
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    return torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags


def _place() -> str:
    """The innermost line of Python that is neither torch's nor what called the model, by the path that it is imported by."""
    ours = {__file__, *(module.__file__ for module in (cache_tensors, calling, export_wrappers, sample_inputs))}
    torchs = str(Path(torch.__file__).parent)
    for frame in reversed(traceback.extract_stack()):
        if frame.filename not in ours and not frame.filename.startswith(torchs):
            roots = sorted((root for root in sys.path if root and frame.filename.startswith(f"{root}/")), key=len)
            return f"{frame.filename[len(roots[-1]) + 1 :] if roots else frame.filename}, line {frame.lineno}"
    return "an unknown place"
