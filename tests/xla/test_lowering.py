"""`converter neuron --check` without torch-xla, compared with torch-xla; `make neuron-check` runs it.

torch_neuronx.trace records a model with torch-xla before it is compiled; whether the compiler accepts this is not shown.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from converter.architectures import FEATURES, architectures, find_architecture
from converter.architectures.dummies import lengths_at
from converter.architectures.seq2seq_config import OnnxSeq2SeqConfigWithPast
from converter.architectures.size import Size
from converter.backends.neuron import GENERATED, NeuronOptions
from converter.backends.neuron.check import check
from converter.backends.neuron.lowering import lower
from converter.backends.neuron.static import reporting_tracing
from converter.backends.traced.form import prepared
from converter.checkpoints.loading import load_model
from converter.checkpoints.sample_inputs import sample
from converter.core.records import Finding

ROWS = [
    (architecture.model_type, feature)
    for architecture in architectures().values()
    for feature in architecture.features
    if not FEATURES[feature].use_past and not (issubclass(architecture.onnx_config, OnnxSeq2SeqConfigWithPast) and feature in GENERATED)
]
BY_THE_END = {(model_type, "sequence-classification") for model_type in ("bart", "mbart")}
"""They classify by the last token before the padding, and search for it."""

OPTIONS = NeuronOptions.model_validate({"target": "inf2", "batch_size": 2, "sequence_length": 16})


def findings(folder: Path, model_type: str, feature: str, options: NeuronOptions = OPTIONS) -> list[Finding]:
    model = load_model(folder, FEATURES[feature].auto_classes[0], "float32", "eager")
    return list(check(model, find_architecture(model_type).configure(model.config, feature), options, None))


@pytest.mark.parametrize(("model_type", "feature"), ROWS)
def test_what_is_told_without_torch_xla_is_what_torch_xla_finds(tiny: Callable[..., Path], model_type: str, feature: str) -> None:
    traced, *decisions, lowered = findings(tiny(model_type, FEATURES[feature].auto_classes[0]), model_type, feature)
    assert traced.passed, traced.message
    operators = {
        decision.message.partition(" ")[0].replace("aten::index.Tensor", "aten::nonzero")
        for decision in decisions
        if decision.passed is False
    }
    assert lowered.passed is (not operators), lowered.message
    assert bool(operators) is (model_type == "longformer" or (model_type, feature) in BY_THE_END), operators
    for operator in operators:
        assert operator in lowered.message


def test_the_trained_minilm_is_lowered_at_every_bucket(minilm: Path) -> None:
    options = OPTIONS.model_copy(update={"sequence_length": (8, 128)})
    results = findings(minilm, "bert", "default", options)
    assert [finding.passed for finding in results] == [True] * 6
    assert [finding.axes["sequence"] for finding in results] == [8] * 3 + [128] * 3


def test_a_model_that_is_not_told_that_it_is_traced_leaves_out_a_mask_of_ones(tiny: Callable[..., Path]) -> None:
    """The reason for `told_that_it_is_traced`, and what notices when transformers needs it no more or needs another."""
    model = load_model(tiny("bert"), "AutoModel", "float32", "eager")
    config = find_architecture("bert").configure(model.config, "default")
    size = Size(batch=1, sequence=16)
    with prepared(model, config), torch.no_grad():
        wrapper, tensors = sample(model, config, size)
        asked = (wrapper, tensors, lengths_at(config, size), 1e-5)
        untold = lower(*asked)
        with reporting_tracing():
            tracing = lower(*asked)
    assert untold.passed is False and "leaves to the host: aten::_local_scalar_dense" in untold.message
    assert tracing.passed is True
    smaller, larger = (int(finding.message.partition("lowers it to ")[2].split()[0]) for finding in (untold, tracing))
    assert smaller < larger


def test_a_model_that_torch_xla_does_not_lower_is_told() -> None:
    class Elsewhere(torch.nn.Module):
        def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (tokens + torch.from_numpy(tokens.numpy()),)  # which no other device than the CPU can

    finding = lower(Elsewhere(), (torch.ones(3, 2),), {"batch": 3}, 1e-5)  # type: ignore[arg-type]
    assert finding.passed is False and "does not lower it" in finding.message
