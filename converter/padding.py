"""Inputs filled up to a shape that an artifact takes, and its outputs cut back: for an artifact whose `Signature` fixes an axis.

It needs numpy and the record of the artifact, `converter.json`, and neither torch nor transformers nor an SDK:

    record = ArtifactRecord.model_validate_json(Path("torchscript/converter.json").read_bytes())
    padded = pad(inputs, record.signature)
    outputs = cut(run(padded), inputs, record.signature)

Of an artifact of several shapes `choose` says which file runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converter.core.errors import InputError
from converter.core.records import Bucket, Signature, TensorSpec

Array = np.ndarray[Any, np.dtype[Any]]

_ROWS = "choice"
"""An axis of rows that know nothing of one another, as the first one, the batch, is: copies fill it, so that no row is all padding."""


def pad(inputs: Mapping[str, Any], signature: Signature) -> dict[str, Array]:
    """Arrays of the smallest shape that takes them, in the artifact's order, out of arrays by name.

    Tokens get the signature's padding behind them, masks 0; a batch is filled with copies of its last row.

    Raises: InputError for an input that is missing, has another number of axes, or is longer than the artifact takes.
    """
    arrays = _arrays(inputs, signature)
    fixed = _smallest(arrays, signature)
    return {spec.name: _fill(spec, arrays[spec.name], fixed, signature.padding.get(spec.name, 0)) for spec in signature.inputs}


def choose(inputs: Mapping[str, Any], signature: Signature) -> Bucket:
    """The bucket of an artifact, and so its file, that runs `inputs` once they are padded: the smallest that they fit in.

    Raises: InputError for an input that is missing, has another number of axes, or is longer than the artifact takes; LookupError for
    an artifact that has no buckets.
    """
    fixed = _smallest(_arrays(inputs, signature), signature)
    for bucket in signature.buckets:
        if bucket.fixed == fixed:
            return bucket
    raise LookupError("this artifact has no buckets: it is one file")


def cut(outputs: Mapping[str, Any], inputs: Mapping[str, Any], signature: Signature) -> dict[str, Array]:
    """Cut the outputs, by name, back to `inputs` before `pad`."""
    lengths = {
        label: np.shape(inputs[spec.name])[axis]
        for spec in signature.inputs
        for axis, label in enumerate(spec.shape)
        if label in signature.fixed
    }
    lengths |= {label: lengths[axis] for label, axis in signature.equal.items() if axis in lengths}
    kept = {spec.name: tuple(slice(lengths.get(label)) for label in spec.shape) for spec in signature.outputs}
    return {name: np.asarray(output)[kept[name]] if lengths else np.asarray(output) for name, output in outputs.items()}


def _arrays(inputs: Mapping[str, Any], signature: Signature) -> dict[str, Array]:
    missing = [spec.name for spec in signature.inputs if spec.name not in inputs]
    if missing:
        raise InputError(f"there is no {', '.join(missing)} among the inputs", f"give: {', '.join(spec.name for spec in signature.inputs)}")
    arrays = {spec.name: np.asarray(inputs[spec.name]) for spec in signature.inputs}
    for spec in signature.inputs:
        if arrays[spec.name].ndim != len(spec.shape):
            raise InputError(
                f"{spec.name} has {arrays[spec.name].ndim} axes and not {len(spec.shape)}", f"they are: {', '.join(map(str, spec.shape))}"
            )
    return arrays


def _smallest(arrays: Mapping[str, Array], signature: Signature) -> Mapping[str, int]:
    """The lengths of the fixed axes in the smallest shape that takes `arrays`."""
    labelled = [(spec, axis, str(label)) for spec in signature.inputs for axis, label in enumerate(spec.shape)]
    for fixed in signature.shapes:
        if all(arrays[spec.name].shape[axis] <= fixed[label] for spec, axis, label in labelled if label in fixed):
            return fixed
    for spec, axis, label in labelled:
        length, most = arrays[spec.name].shape[axis], signature.fixed.get(label)
        if most is not None and length > most:
            raise InputError(
                f"{spec.name} is {length} long along {label}, and the artifact takes {most} at most",
                "cut it, or convert the checkpoint for a larger shape",
            )
    return {}


def _fill(spec: TensorSpec, array: Array, fixed: Mapping[str, int], padding: int) -> Array:
    for axis, label in enumerate(spec.shape):
        missing = fixed.get(str(label), array.shape[axis]) - array.shape[axis]
        if not missing:
            continue
        widths = [(0, missing if index == axis else 0) for index in range(array.ndim)]
        if axis and label != _ROWS:
            array = np.pad(array, widths, constant_values=padding)
        elif array.shape[axis]:
            array = np.pad(array, widths, mode="edge")
        else:
            raise InputError(f"{spec.name} is empty along {label}", "give at least one")
    return array
