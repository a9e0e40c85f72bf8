"""A model called by the names that its artifact has: the cache is made of tensors, and taken apart into tensors again."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput, MoEModelOutput

from converter.architectures import OnnxConfig
from converter.architectures.cache_names import cache_argument, cache_of
from converter.architectures.dummies import make_inputs
from converter.architectures.size import Size
from converter.checkpoints.loading import LoadedModel
from converter.checkpoints.pooling import check_mask, padded_as_users_do, pooled_by_mask
from converter.core.errors import ConversionError, ConverterError
from converter.core.reason import reason

CACHE = "past_key_values"
"""What the inputs of a cache are called, before the layer and the part."""
ENCODED = ("pixel_values", "input_features", "input_values")
"""What an encoder takes that is no text."""


def call(model: torch.nn.Module, inputs: Mapping[str, torch.Tensor], outputs: Sequence[str]) -> tuple[torch.Tensor, ...]:
    """What `model` gives for `outputs`, in their order, as a user of transformers would call it.

    Raises ConversionError for an output that the model does not give, naming those it does.
    """
    arguments = _arguments(inputs)
    with padded_as_users_do(model, arguments):
        return _pick(model, _result(model, arguments), outputs)


def check_inputs(model: torch.nn.Module, names: Sequence[str]) -> None:
    """Raise ConversionError for an input that the model's forward does not take, naming those it does.

    The forward's own parameters count alone: what falls into its **kwargs is ignored without a word.
    """
    parameters = inspect.signature(model.forward).parameters.values()
    own = [parameter.name for parameter in parameters if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)]
    arguments = {name: name.partition(".")[0] for name in names}
    cache = cache_argument(model.forward)
    unknown = [name for name, argument in arguments.items() if (cache if argument == CACHE else argument) not in own]
    if unknown:
        raise ConversionError(f"{type(model).__name__} takes no input {', '.join(unknown)}", f"it takes: {', '.join(own)}")


class ExportWrapper(torch.nn.Module):
    """A model as a function of tensors in a fixed order that returns a tuple of tensors in a fixed order.

    Capturing and tracing both want this form: keyword arguments and output classes do not survive either. With the cache of an
    encoder's output it differs from `call` in one thing: it encodes what that cache does not hold yet, whatever its length, where
    transformers looks whether it is empty. So one graph serves the first call and all the others, for which the encoder costs nothing.
    A classifier without a padding token finds a text's last token by the mask, see `pooling`.

    `encoded` is how many positions the encoder gives for an input of one length, such as an image; None where it gives one a token.
    """

    def __init__(self, model: torch.nn.Module, inputs: Sequence[str], outputs: Sequence[str], encoded: int | None = None) -> None:
        super().__init__()
        self.model = model
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._encoded = encoded
        self.eval()

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        arguments = _arguments(dict(zip(self._inputs, tensors, strict=True)))
        if isinstance(arguments.get(CACHE), EncoderDecoderCache):
            self._encode_the_rest(arguments)
        with pooled_by_mask(self.model, arguments):
            return _pick(self.model, _result(self.model, arguments), self._outputs)

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
        cache.is_updated = dict.fromkeys(cache.is_updated, False)  # so that it appends, be it nothing


class EncoderWrapper(torch.nn.Module):
    """A model's encoder alone as a function of tensors in a fixed order: what it gives for each position, (batch, positions, features)."""

    def __init__(self, model: torch.nn.Module, inputs: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self._inputs = tuple(inputs)
        self.eval()

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        encode = self.model.get_encoder()  # type: ignore[operator]  # Module's getattr
        return (encode(**dict(zip(self._inputs, tensors, strict=True)), return_dict=True)[0],)


class DecoderWrapper(torch.nn.Module):
    """A model's decoder alone, with its cache: `states` among its inputs is what the encoder gave, (batch, positions, features).

    Keys and values are made of the positions that the cache does not hold yet: at the first call of all, later of none.
    """

    def __init__(self, model: torch.nn.Module, inputs: Sequence[str], outputs: Sequence[str], states: str) -> None:
        super().__init__()
        self.model = model
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._states = states
        self.eval()

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        arguments = _arguments(dict(zip(self._inputs, tensors, strict=True)))
        cache, states = arguments[CACHE], arguments.pop(self._states)
        held, length = cache.cross_attention_cache.layers[0].keys.shape[2], states.shape[1]
        torch._check(held <= length)  # type: ignore[no-untyped-call]  # torch's own lacks types
        # a mixture of experts looks for its router in what its encoder gave, and all others pass over that
        arguments["encoder_outputs"] = MoEModelOutput(last_hidden_state=states.narrow(1, held, length - held))
        cache.is_updated = dict.fromkeys(cache.is_updated, False)  # so that it appends, be it nothing
        return _pick(self.model, _result(self.model, arguments), self._outputs)


def _encode_all_or_nothing(encode: Any, arguments: dict[str, Any], held: Any, length: int) -> BaseModelOutput:
    """What an encoder gives for an image or a sound: (batch, `length`, features), or (batch, 0, features) where all `length` are held.

    A part of an image cannot be encoded, so rows are left out, all of them or none.
    """
    name = next(argument for argument in arguments if argument in ENCODED)
    whole = arguments.pop(name)
    batch = whole.shape[0]
    torch._check(held <= length)  # type: ignore[no-untyped-call]  # torch's own lacks types
    rows = batch * ((2 * length - 1 - held) // length)  # 0 where all is held
    torch._check(rows <= batch)  # type: ignore[no-untyped-call]  # as above
    states = encode(whole.narrow(0, 0, rows), return_dict=True)[0]
    return BaseModelOutput(last_hidden_state=states.reshape(batch, rows * length // batch, states.shape[2]))


def inputs_at(config: OnnxConfig, dtype: str, preprocessor: Any, rng: np.random.Generator, size: Size) -> tuple[torch.Tensor, ...]:
    """Inputs of a size as tensors, in the configuration's order; `make_inputs` says which."""
    arrays = make_inputs(config, size, rng, dtype=dtype, preprocessor=preprocessor)
    return tuple(torch.from_numpy(array) for array in arrays.values())


def sample(model: LoadedModel, config: OnnxConfig, size: Size, preprocessor: Any = None) -> tuple[ExportWrapper, tuple[torch.Tensor, ...]]:
    """A model as a function of tensors, and tensors of a size that it was seen to run with, for who captures or traces it.

    Raises ConversionError where the configuration declares nothing, or what the model does not take or give.
    """
    if not config.inputs or not config.outputs:
        raise ConversionError(f"{type(config).__name__} declares no {'outputs' if config.inputs else 'inputs'}", "declare them")
    check_inputs(model.module, tuple(config.inputs))
    check_mask(model.module, tuple(config.inputs))
    tensors = inputs_at(config, model.dtype, preprocessor, np.random.default_rng(0), size)
    wrapper = ExportWrapper(model.module, tuple(config.inputs), tuple(config.outputs), config.encoded_length)
    try:
        with torch.no_grad():
            wrapper(*tensors)
    except ConverterError:
        raise
    except Exception as error:  # a model's own code runs here, and may raise anything; it is told, with its cause
        raise ConversionError(
            f"{type(model.module).__name__} does not run with the inputs of {type(config).__name__}: {reason(error)}",
            "the checkpoint's config.json or the configuration is wrong; see with --debug where",
        ) from error
    return wrapper, tensors


def _arguments(inputs: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The keyword arguments of a call, with the cache that the tensors `past_key_values.…` make."""
    arguments: dict[str, Any] = {name: tensor for name, tensor in inputs.items() if not name.startswith(f"{CACHE}.")}
    if f"{CACHE}.0.key" in inputs:
        arguments[CACHE] = _cache(inputs, "")
    elif f"{CACHE}.0.decoder.key" in inputs:
        arguments[CACHE] = EncoderDecoderCache(_cache(inputs, "decoder."), _cache(inputs, "encoder."))
    return arguments


def _cache(inputs: Mapping[str, torch.Tensor], stack: str) -> DynamicCache:
    layers = sum(name.endswith(f".{stack}key") for name in inputs)
    return DynamicCache([(inputs[f"{CACHE}.{layer}.{stack}key"], inputs[f"{CACHE}.{layer}.{stack}value"]) for layer in range(layers)])


def _result(model: torch.nn.Module, arguments: Mapping[str, Any]) -> Any:
    named = {cache_argument(model.forward) if name == CACHE else name: value for name, value in arguments.items()}
    return model(**named, return_dict=True)


def _pick(model: torch.nn.Module, result: Any, outputs: Sequence[str]) -> tuple[torch.Tensor, ...]:
    return tuple(_output(model, result, name) for name in outputs)


def _output(model: torch.nn.Module, result: Any, name: str) -> torch.Tensor:
    kind, *place = name.split(".")
    if kind != "present":
        tensor = result.get(name)
    else:
        cache = cache_of(result)
        tensor = None if cache is None else _of_cache(cache, place)
    if not isinstance(tensor, torch.Tensor):
        raise ConversionError(f"{type(model).__name__} gives no output {name}", f"it gives: {', '.join(result)}")
    return tensor


def _of_cache(cache: Any, place: Sequence[str]) -> torch.Tensor | None:
    """The tensor of a cache at `3.key` or `3.decoder.key`."""
    layer, *stack, part = place
    if stack:
        cache = cache.self_attention_cache if stack == ["decoder"] else cache.cross_attention_cache
    held = cache.layers[int(layer)]
    tensor: torch.Tensor | None = {"key": held.keys, "value": held.values}.get(part)
    return tensor
