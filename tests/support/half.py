"""Evaluate float16 files as declared: onnx's reference evaluator rounds every value to its type."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

Array = np.ndarray[Any, np.dtype[Any]]


class LayerNormalization(OpRun):  # type: ignore[misc]  # its base has no types
    """onnx's version computes the sums in the input's type; the standard has them in float32 (`stash_type`)."""

    op_domain = ""

    def _run(self, x: Array, scale: Array, bias: Array | None = None, **attributes: Any) -> tuple[Array, ...]:
        wide = x.astype(np.float32)
        axes = tuple(range(attributes["axis"] % x.ndim, x.ndim))
        mean = wide.mean(axis=axes, keepdims=True)
        deviation = np.sqrt(np.square(wide - mean).mean(axis=axes, keepdims=True) + attributes["epsilon"])
        normed = ((wide - mean) / deviation).astype(x.dtype) * scale
        return (normed if bias is None else normed + bias,)


def evaluate(path: Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of a file of standard operators, each of its values rounded to the type that it is declared in."""
    model = onnx.load(path)
    names = [value.name for value in model.graph.output]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of overflows, whose results are checked
        arrays = ReferenceEvaluator(model, new_ops=[LayerNormalization]).run(names, dict(inputs))
    return dict(zip(names, (np.asarray(array) for array in arrays), strict=True))
