"""Inputs filled up to the one shape that an artifact takes, and its outputs cut back: for an artifact whose `Signature` fixes an axis.

It needs numpy and the record of the artifact, `converter.json`, and neither torch nor transformers:

    record = ArtifactRecord.model_validate_json(Path("torchscript/converter.json").read_bytes())
    padded = pad(inputs, record.signature)
    outputs = cut(run(padded), inputs, record.signature)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converter.errors import InputError
from converter.records import Signature, TensorSpec

Array = np.ndarray[Any, np.dtype[Any]]

_ROWS = "choice"
"""An axis of rows that know nothing of one another, as the first one, the batch, is: copies fill it, so that no row is all padding."""


def pad(inputs: Mapping[str, Any], signature: Signature) -> dict[str, Array]:
    """Arrays of the fixed shape, in the artifact's order, out of arrays by name that are at most as long.

    Tokens get the signature's padding behind them, masks 0; a batch is filled with copies of its last row.

    Raises: InputError for an input that is missing, has another number of axes, or is longer than the artifact takes.
    """
    missing = [spec.name for spec in signature.inputs if spec.name not in inputs]
    if missing:
        raise InputError(f"there is no {', '.join(missing)} among the inputs", f"give: {', '.join(spec.name for spec in signature.inputs)}")
    arrays = {spec.name: np.asarray(inputs[spec.name]) for spec in signature.inputs}
    return {spec.name: _fill(spec, arrays[spec.name], signature) for spec in signature.inputs}


def cut(outputs: Mapping[str, Any], inputs: Mapping[str, Any], signature: Signature) -> dict[str, Array]:
    """What of the outputs by name belongs to `inputs`, as they were before `pad`."""
    lengths = {
        label: np.shape(inputs[spec.name])[axis]
        for spec in signature.inputs
        for axis, label in enumerate(spec.shape)
        if label in signature.fixed
    }
    kept = {spec.name: tuple(slice(lengths.get(label)) for label in spec.shape) for spec in signature.outputs}
    return {name: np.asarray(output)[kept[name]] if lengths else np.asarray(output) for name, output in outputs.items()}


def _fill(spec: TensorSpec, array: Array, signature: Signature) -> Array:
    if array.ndim != len(spec.shape):
        raise InputError(f"{spec.name} has {array.ndim} axes and not {len(spec.shape)}", f"they are: {', '.join(map(str, spec.shape))}")
    for axis, label in enumerate(spec.shape):
        missing = signature.fixed.get(str(label), array.shape[axis]) - array.shape[axis]
        if missing < 0:
            raise InputError(
                f"{spec.name} is {array.shape[axis]} long along {label}, and the artifact takes {signature.fixed[str(label)]} at most",
                "cut it, or convert the checkpoint for a larger shape",
            )
        if not missing:
            continue
        widths = [(0, missing if each == axis else 0) for each in range(array.ndim)]
        if axis and label != _ROWS:
            array = np.pad(array, widths, constant_values=signature.padding.get(spec.name, 0))
        elif array.shape[axis]:
            array = np.pad(array, widths, mode="edge")
        else:
            raise InputError(f"{spec.name} is empty along {label}", "give at least one")
    return array
