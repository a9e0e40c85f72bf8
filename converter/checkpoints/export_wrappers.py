"""Models as functions of tensors in a fixed order, for capturing and tracing: a whole one, its encoder, its decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput, MoEModelOutput

from converter.checkpoints.cache_tensors import CACHE, make_arguments
from converter.checkpoints.calling import run_model
from converter.checkpoints.pooling import pooled_by_mask

ENCODED = ("pixel_values", "input_features", "input_values")
"""Inputs of an encoder other than text."""


class ExportWrapper(torch.nn.Module):
    """A model as a function from tensors in a fixed order to a tuple of tensors in a fixed order.

    Capturing and tracing need this form, because keyword arguments and output classes are lost. With the cache of an encoder's output
    it differs from `calling.call` in one point: it encodes the part that the cache lacks, while transformers checks whether the cache
    is empty. So one graph serves the first call and all others, which need no encoder. A classifier without a padding token finds a
    text's last token by the mask, see `pooling`.

    `encoded` is the number of positions from the encoder for an input of one length, such as an image; None if it depends on the
    tokens.
    """

    def __init__(self, model: torch.nn.Module, inputs: Sequence[str], outputs: Sequence[str], encoded: int | None = None) -> None:
        super().__init__()
        self.model = model
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._encoded = encoded
        self.eval()

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        arguments = make_arguments(dict(zip(self._inputs, tensors, strict=True)))
        if isinstance(arguments.get(CACHE), EncoderDecoderCache):
            self._encode_the_rest(arguments)
        with pooled_by_mask(self.model, arguments):
            return run_model(self.model, arguments, self._outputs)

    def _encode_the_rest(self, arguments: dict[str, Any]) -> None:
        cache = arguments[CACHE]
        held = cache.cross_attention_cache.layers[0].keys.shape[2]
        encode = self.model.get_encoder()  # type: ignore[operator]  # Module's getattr
        if self._encoded is None:
            tokens, mask = arguments.pop("input_ids"), arguments["attention_mask"]
            length = tokens.shape[1]
            torch._check(held <= length)  # type: ignore[no-untyped-call]  # torch's own lacks types
            rest = {"input_ids": tokens.narrow(1, held, length - held), "attention_mask": mask.narrow(1, held, length - held)}
            arguments["encoder_outputs"] = encode(**rest, return_dict=True)
        else:
            arguments["encoder_outputs"] = _encode_all_or_nothing(encode, arguments, held, self._encoded)
        cache.is_updated = dict.fromkeys(cache.is_updated, False)  # so that it appends, even nothing


class EncoderWrapper(torch.nn.Module):
    """A model's encoder as a function of tensors in a fixed order; it returns (batch, positions, features)."""

    def __init__(self, model: torch.nn.Module, inputs: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self._inputs = tuple(inputs)
        self.eval()

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        encode = self.model.get_encoder()  # type: ignore[operator]  # Module's getattr
        return (encode(**dict(zip(self._inputs, tensors, strict=True)), return_dict=True)[0],)


class DecoderWrapper(torch.nn.Module):
    """A model's decoder with its cache; the input `states` is the encoder's output, (batch, positions, features).

    Keys and values are computed for positions that the cache lacks: all at the first call, none later.
    """

    def __init__(self, model: torch.nn.Module, inputs: Sequence[str], outputs: Sequence[str], states: str) -> None:
        super().__init__()
        self.model = model
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._states = states
        self.eval()

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        arguments = make_arguments(dict(zip(self._inputs, tensors, strict=True)))
        cache, states = arguments[CACHE], arguments.pop(self._states)
        held, length = cache.cross_attention_cache.layers[0].keys.shape[2], states.shape[1]
        torch._check(held <= length)  # type: ignore[no-untyped-call]  # torch's own lacks types
        # a mixture of experts looks for its router in the encoder's output; others ignore it
        arguments["encoder_outputs"] = MoEModelOutput(last_hidden_state=states.narrow(1, held, length - held))
        cache.is_updated = dict.fromkeys(cache.is_updated, False)  # so that it appends, even nothing
        return run_model(self.model, arguments, self._outputs)


def _encode_all_or_nothing(encode: Any, arguments: dict[str, Any], held: Any, length: int) -> BaseModelOutput:
    """An encoder's output for an image or a sound: (batch, `length`, features), or (batch, 0, features) if the cache has all `length`.

    A part of an image cannot be encoded, so all rows are left out or none.
    """
    name = next(argument for argument in arguments if argument in ENCODED)
    whole = arguments.pop(name)
    batch = whole.shape[0]
    torch._check(held <= length)  # type: ignore[no-untyped-call]  # torch's own lacks types
    rows = batch * ((2 * length - 1 - held) // length)  # 0 if the cache has everything
    torch._check(rows <= batch)  # type: ignore[no-untyped-call]  # as above
    states = encode(whole.narrow(0, 0, rows), return_dict=True)[0]
    return BaseModelOutput(last_hidden_state=states.reshape(batch, rows * length // batch, states.shape[2]))
