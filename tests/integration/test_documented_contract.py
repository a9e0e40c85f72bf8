"""Every documented row, from a checkpoint to a file that other shapes run through, held against transformers by hand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import transformers

from converter.core.records import Outcome
from tests.support.by_hand import Arrays, inputs_of, reference, shapes_of
from tests.support.checkpoints import ONE_LAYER, save_tiny
from tests.support.contract import CONTRACT, ROWS, Axes, keeps, spread

CANARIES = [("bert", "masked-lm"), ("gpt2", "causal-lm-with-past"), ("t5", "seq2seq-lm-with-past")]
"""An encoder, a decoder with a cache, and both: tried with the newest releases."""


@pytest.mark.parametrize(
    ("model_type", "feature"),
    [pytest.param(*row, marks=pytest.mark.canary if row in CANARIES else (), id="-".join(row)) for row in ROWS],
)
def test_a_documented_row_converts_and_runs_at_shapes_that_were_not_captured(
    model_type: str, feature: str, tiny: Callable[..., Path], convert: Callable[..., Outcome], tmp_path: Path
) -> None:
    row = CONTRACT[model_type][feature]
    if model_type in ONE_LAYER and feature != "default":  # its default row captures all layers
        checkpoint = save_tiny(tmp_path / "checkpoint", model_type, row["auto_class"], **ONE_LAYER[model_type])
    else:
        checkpoint = tiny(model_type, row["auto_class"])
    outcome = convert(checkpoint, feature=feature)
    assert outcome.status == "converted", outcome.failure
    assert outcome.verdict and outcome.verdict.atol == row["atol"]
    generates = feature in ("causal-lm-with-past", "seq2seq-lm-with-past")
    assert (outcome.verdict.generation is not None) == generates

    path = Path(outcome.destination) / "model.onnx"
    onnx.checker.check_model(path, full_check=True)
    session = ort.InferenceSession(path)
    model = getattr(transformers, row["auto_class"]).from_pretrained(checkpoint)
    layers = getattr(model.config, "num_decoder_layers", 2)
    expected = {**spread(row["inputs"], layers), **spread(row["outputs"], layers)}
    declared = {node.name: node.shape for node in (*session.get_inputs(), *session.get_outputs())}
    assert list(declared) == list(expected)

    lengths: defaultdict[str, set[int]] = defaultdict(set)
    for shape in shapes_of(feature, model_type):
        inputs = inputs_of([node.name for node in session.get_inputs()], model, shape)
        outputs = dict(zip((node.name for node in session.get_outputs()), session.run(None, inputs), strict=True))
        for name, array in reference(model, inputs, list(outputs)).items():
            assert outputs[name].dtype == array.dtype == np.float32
            np.testing.assert_allclose(outputs[name], array, rtol=1e-5, atol=row["atol"], err_msg=f"{name} at {shape}")
        _note_lengths({**inputs, **outputs}, expected, lengths)
        _labels_are_true({**inputs, **outputs}, declared)
    for name, axes in expected.items():
        for axis, label in axes.items():
            assert keeps(declared[name][axis], label, lengths), f"axis {axis} of {name} is {declared[name][axis]!r} instead of {label!r}"


def _note_lengths(arrays: Arrays, labels: Mapping[str, Axes], lengths: defaultdict[str, set[int]]) -> None:
    """How many lengths a label of the row names in one run; 1 for all runs of the ones that tell the truth."""
    seen: defaultdict[str, set[int]] = defaultdict(set)
    for name, axes in labels.items():
        for axis, label in axes.items():
            seen[label].add(arrays[name].shape[axis])
    for label, sizes in seen.items():
        if len(sizes) > len(lengths[label]):
            lengths[label] = sizes


def _labels_are_true(arrays: Arrays, declared: Mapping[str, list[Any]]) -> None:
    """One label names one length, and a declared length is the one that comes."""
    seen: dict[str, int] = {}
    for name, dims in declared.items():
        for dim, length in zip(dims, arrays[name].shape, strict=True):
            assert (seen.setdefault(dim, length) if isinstance(dim, str) else dim) == length, f"{dim!r} of {name} is {length}"
