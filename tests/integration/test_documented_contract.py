"""Every documented row of the four encoder families, from a checkpoint to a file that other shapes run through."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import transformers

from converter.records import Outcome

CONTRACT: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "transformers_onnx_contract.json").read_text())
FAMILIES = ("bert", "camembert", "distilbert", "roberta")
ROWS = [(family, feature) for family in FAMILIES for feature in CONTRACT[family]["features"]]


@pytest.mark.parametrize(("family", "feature"), ROWS, ids=lambda part: str(part))
def test_a_documented_row_converts_and_runs_at_shapes_that_were_not_captured(
    family: str, feature: str, tiny: Callable[..., Path], convert: Callable[..., Outcome]
) -> None:
    row = CONTRACT[family]["features"][feature]
    checkpoint = tiny(family, row["auto_class"])
    outcome = convert(checkpoint, feature=feature)
    assert outcome.status == "converted", outcome.failure
    assert outcome.verdict and outcome.verdict.atol == row["atol"]

    path = Path(outcome.destination) / "model.onnx"
    onnx.checker.check_model(path, full_check=True)
    session = ort.InferenceSession(path)
    assert [node.name for node in session.get_inputs()] == list(row["inputs"])
    assert [node.name for node in session.get_outputs()] == list(row["outputs"])
    for node, axes in zip(
        (*session.get_inputs(), *session.get_outputs()), (*row["inputs"].values(), *row["outputs"].values()), strict=True
    ):
        assert {axis: node.shape[int(axis)] for axis in axes} == axes

    model = getattr(transformers, row["auto_class"]).from_pretrained(checkpoint)
    rng = np.random.default_rng(7)
    for batch, choice, length in ((1, 1, 2), (4, 5, 21), (7, 2, 38)):
        inputs = _inputs(row["inputs"], {"batch": batch, "choice": choice, "sequence": length}, rng)
        with torch.no_grad():
            expected = model(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        for name, found in zip(row["outputs"], session.run(None, inputs), strict=True):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected[name].numpy(), rtol=1e-5, atol=row["atol"])


def _inputs(axes: dict[str, dict[str, str]], lengths: dict[str, int], rng: np.random.Generator) -> dict[str, Any]:
    """Inputs made without the package's own samples; nothing is padded, so that every element counts."""
    limits = {"input_ids": (3, 120), "attention_mask": (1, 2), "token_type_ids": (0, 2)}
    return {
        name: rng.integers(*limits[name], tuple(lengths[label] for label in labels.values()), dtype=np.int64)
        for name, labels in axes.items()
    }
