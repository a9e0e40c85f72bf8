"""A model called by the names that its artifact has."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from converter.architectures.cache_names import cache_argument, cache_of
from converter.checkpoints.cache_tensors import CACHE, cached_tensor, make_arguments
from converter.checkpoints.pooling import padded_as_users_do
from converter.core.errors import ConversionError


def call(model: torch.nn.Module, inputs: Mapping[str, torch.Tensor], outputs: Sequence[str]) -> tuple[torch.Tensor, ...]:
    """Call `model` as a user of transformers would, and return the tensors of `outputs`, in their order.

    Raises ConversionError for an output that the model does not give, naming those it does.
    """
    arguments = make_arguments(inputs)
    with padded_as_users_do(model, arguments):
        return run_model(model, arguments, outputs)


def run_model(model: torch.nn.Module, arguments: Mapping[str, Any], outputs: Sequence[str]) -> tuple[torch.Tensor, ...]:
    """Run `model` with `arguments` and return the tensors of `outputs`, in their order."""
    named = {cache_argument(model.forward) if name == CACHE else name: value for name, value in arguments.items()}
    result = model(**named, return_dict=True)
    return tuple(_output(model, result, name) for name in outputs)


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


def _output(model: torch.nn.Module, result: Any, name: str) -> torch.Tensor:
    kind, *place = name.split(".")
    if kind != "present":
        tensor = result.get(name)
    else:
        cache = cache_of(result)
        tensor = None if cache is None else cached_tensor(cache, place)
    if not isinstance(tensor, torch.Tensor):
        raise ConversionError(f"{type(model).__name__} gives no output {name}", f"it gives: {', '.join(result)}")
    return tensor
