"""Check a model before an hour of compiling, without the SDK: whether it can be traced, and whether it branches on values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from converter.architectures import OnnxConfig
from converter.architectures.dummies import Padding, lengths_at, make_inputs
from converter.architectures.size import Size
from converter.backends.neuron import GENERATED, NeuronOptions, generation_error
from converter.backends.neuron.lowering import lower
from converter.backends.neuron.static import Decisions, reporting_tracing
from converter.backends.traced.form import Tensors, disagreement, prepared, quiet_torchscript, size_of, trace, used_tensors
from converter.checkpoints.export_wrappers import ExportWrapper
from converter.checkpoints.loading import LoadedModel
from converter.checkpoints.sample_inputs import sample
from converter.core.records import Finding

_SEED = 2  # seed of the inputs that try a trace; different from the seed of its sample
_OTHERS: tuple[Padding, ...] = ("none", "right", "left", "holes")


class Call(NamedTuple):
    """A call of the model at one requested shape: the lengths of its axes, and a sample that it ran with."""

    size: Size
    axes: dict[str, int]
    wrapper: ExportWrapper
    tensors: Tensors


def check(model: LoadedModel, config: OnnxConfig, options: NeuronOptions, preprocessor: Any) -> Iterator[Finding]:
    """All findings for each shape; with torch-xla if installed.

    The model may lie elsewhere in memory afterwards. Raises NotSupportedError or ConversionError if it cannot be traced.
    """
    with prepared(model, config):
        for call in calls(model, config, options, preprocessor):
            yield from look(model, config, call, preprocessor)
            with torch.no_grad(), config.patch(model.module), reporting_tracing():
                yield lower(call.wrapper, call.tensors, call.axes, config.atol_for_validation)


def calls(model: LoadedModel, config: OnnxConfig, options: NeuronOptions, preprocessor: Any) -> list[Call]:
    """The requested calls, shortest first; `model` is `prepared`.

    Raises NotSupportedError for an impossible shape, ConversionError if the model does not run.
    """
    if "decoder_input_ids" in config.inputs and config.task in GENERATED:
        raise generation_error(config.feature.name)
    sizes = [size_of(config, options.batch_size, length, None) for length in options.sequence_length]
    return [Call(size, lengths_at(config, size), *sample(model, config, size, preprocessor)) for size in sizes]


def look(model: LoadedModel, config: OnnxConfig, call: Call, preprocessor: Any) -> Iterator[Finding]:
    """The findings of a call without torch-xla; `model` is `prepared`."""
    with quiet_torchscript(), torch.no_grad(), config.patch(model.module):
        traced = trace(call.wrapper, config, call.tensors, {})
        used_tensors(traced, model)
        rng = np.random.default_rng(_SEED)
        others = [make_inputs(config, call.size, rng, padding, model.dtype, preprocessor) for padding in _OTHERS]
        inputs = [tuple(torch.from_numpy(array) for array in arrays.values()) for arrays in others]
        wrong = [problem for tensors in inputs if (problem := disagreement(traced, call.wrapper, tensors))]
        message = f"traced; the trace equals the model for {len(inputs) - len(wrong)} of {len(inputs)} other inputs of this shape"
        yield Finding(axes=call.axes, message=f"{message}: {wrong[0]}" if wrong else message, passed=not wrong)
        with reporting_tracing():
            yield from _decisions(call.wrapper, inputs, call.axes)


def _decisions(wrapper: ExportWrapper, inputs: list[Tensors], axes: dict[str, int]) -> Iterator[Finding]:
    """The decisions of the model on values of its inputs or weights: a compiled call repeats the sample's."""
    decisions = {}
    for tensors in inputs:
        with Decisions((*tensors, *wrapper.parameters(), *wrapper.buffers())) as watch:
            wrapper(*tensors)
        decisions.update(dict.fromkeys(watch.decisions))
    if not decisions:
        yield Finding(axes=axes, message="no operator takes a value for a decision or a length", passed=True)
    for decision in decisions:
        message = f"{decision.operator} takes a value for a decision or a length, which no compiled call can ({decision.place})"
        yield Finding(axes=axes, message=message, passed=False)
