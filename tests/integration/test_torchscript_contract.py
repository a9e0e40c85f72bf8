"""Every documented row that has no cache, traced: loaded by hand at shapes that were neither traced nor validated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from converter.core.records import Outcome
from tests.support.by_hand import inputs_of, reference, shapes_of
from tests.support.contract import CONTRACT, ROWS

WITHOUT_CACHE = [(model_type, feature) for model_type, feature in ROWS if not feature.endswith("-with-past")]


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
@pytest.mark.parametrize(
    ("model_type", "feature"),
    [pytest.param(*row, marks=pytest.mark.canary if row == ("bert", "masked-lm") else (), id="-".join(row)) for row in WITHOUT_CACHE],
)
def test_a_documented_row_is_traced_and_takes_any_shape(
    model_type: str, feature: str, tiny: Callable[..., Path], trace: Callable[[str, str], Outcome]
) -> None:
    row = CONTRACT[model_type][feature]
    checkpoint = tiny(model_type, row["auto_class"])
    outcome = trace(model_type, feature)
    assert outcome.status == "converted", outcome.failure
    assert outcome.artifact and outcome.artifact.signature.fixed == {}

    extra = {"signature.json": b""}
    module = torch.jit.load(Path(outcome.destination) / "model.pt", _extra_files=extra)
    signature = json.loads(extra["signature.json"])
    assert signature == outcome.artifact.signature.model_dump(mode="json")
    names, outputs = ([tensor["name"] for tensor in signature[kind]] for kind in ("inputs", "outputs"))
    assert (names, outputs) == (list(row["inputs"]), list(row["outputs"]))
    assert names == [argument.name for argument in module.forward.schema.arguments[1:]]

    model = getattr(transformers, row["auto_class"]).from_pretrained(checkpoint)
    for shape in shapes_of(feature, model_type):
        inputs = inputs_of(names, model, shape)
        with torch.no_grad():
            results = module(*(torch.from_numpy(inputs[name]) for name in names))
        assert isinstance(results, tuple)
        expected = reference(model, inputs, outputs)
        for name, result in zip(outputs, results, strict=True):
            np.testing.assert_allclose(result.numpy(), expected[name], rtol=1e-5, atol=row["atol"], err_msg=f"{name} at {shape}")


def test_the_rows_are_of_every_architecture() -> None:
    assert {model_type for model_type, _ in WITHOUT_CACHE} == set(CONTRACT)
    assert len(CONTRACT) == 13
