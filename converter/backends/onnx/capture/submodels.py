"""The files of an export and their inputs: one file, or an encoder and a decoder in some profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from converter.architectures import OnnxConfig, is_apart
from converter.architectures.features import Axes
from converter.backends.onnx import OnnxBackend
from converter.backends.onnx.names import DECODER_FILE, ENCODER_FILE, STATES, TAKES
from converter.checkpoints.cache_tensors import CACHE
from converter.checkpoints.export_wrappers import DecoderWrapper, EncoderWrapper


@dataclass(frozen=True, kw_only=True)
class Submodel:
    """One file: its inputs and outputs in order with their named axes; `takes` maps inputs with another name."""

    file: str
    inputs: Mapping[str, Axes]
    outputs: Mapping[str, Axes]
    takes: Mapping[str, str] = field(default_factory=dict)

    def flat(self, model: torch.nn.Module, whole: torch.nn.Module) -> torch.nn.Module:
        """The submodel as a function of tensors in the order of its inputs; `whole` is the function of the whole model."""
        if self.file == ENCODER_FILE:
            return EncoderWrapper(model, tuple(self.inputs))
        if self.file == DECODER_FILE:
            return DecoderWrapper(model, self._model_inputs, tuple(self.outputs), STATES)
        return whole

    def arguments(self, model: torch.nn.Module, config: OnnxConfig, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The submodel's arguments from the whole model's, in the order of `config`; the encoder's output is computed."""
        known = dict(zip(config.inputs, tensors, strict=True))
        if STATES in self._model_inputs:
            encoder = submodels(config)[0]
            with torch.no_grad():
                (known[STATES],) = encoder.flat(model, model)(*(known[name] for name in encoder.inputs))
        return tuple(known[name] for name in self._model_inputs)

    @property
    def _model_inputs(self) -> tuple[str, ...]:
        return tuple(self.takes.get(name, name) for name in self.inputs)


def submodels(config: OnnxConfig) -> tuple[Submodel, ...]:
    """The files that `config` exports a model to."""
    inputs = config.inputs
    if not is_apart(config):
        return (Submodel(file=OnnxBackend.files.main, inputs=inputs, outputs=config.outputs),)
    encoded = {name: axes for name, axes in inputs.items() if not name.startswith(("decoder_", CACHE))}
    states: dict[int, str] = {0: next(iter(encoded.values()))[0]}
    if config.encoded_length is None:
        states[1] = "encoder_sequence"
    known = {**inputs, STATES: states}
    decoded = {name: known[old] for name, old in TAKES.items() if old in known}
    decoded |= {name: axes for name, axes in inputs.items() if name.startswith(CACHE)}
    return (
        Submodel(file=ENCODER_FILE, inputs=encoded, outputs={STATES: states}),
        Submodel(file=DECODER_FILE, inputs=decoded, outputs=config.outputs, takes=TAKES),
    )
