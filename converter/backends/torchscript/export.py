"""Export a model to a TorchScript archive: sample, trace, probe other shapes, guard axes that differ, save."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from converter.architectures import OnnxConfig
from converter.architectures.size import Size
from converter.backends.torchscript import TorchScriptOptions
from converter.backends.torchscript.probe import fixed_axes
from converter.backends.traced.archive import save
from converter.backends.traced.form import Tensors, prepared, quiet_torchscript, signature_of, size_of, trace, used_tensors
from converter.checkpoints.loading import LoadedModel
from converter.checkpoints.sample_inputs import inputs_at, sample
from converter.core.records import Signature

_SEED = 1  # seed of the inputs that probe a trace; different from the seed of its sample


def export(preprocessor: Any, model: Any, config: OnnxConfig, options: TorchScriptOptions, output: Path) -> Signature:
    """Trace `model` and save it to the archive `output`, which torch.jit.load and libtorch load without transformers.

    Its forward takes int64 tensors by position or by name and returns a tuple of tensors. At another shape than the traced one it equals
    the model, or raises; this is measured axis by axis.

    Args:
        preprocessor: the checkpoint's tokenizer, for a configuration that makes its own inputs with it; otherwise None.
        model: a model of transformers (`torch.nn.Module`) in float32 or float16. It is unchanged afterwards.
        config: the configuration of the export.
        options: the traced shape, and the storage of weights.
        output: the path of the archive.

    Returns:
        The signature; the archive has the same as JSON, in its extra file `signature.json`.

    Raises:
        NotSupportedError: a shape, feature or dtype is impossible.
        ConversionError: the configuration does not fit the model, it cannot be traced, or a weight is missing.
        OutputError: the archive cannot be written.
    """
    loaded = LoadedModel.of(model)
    with prepared(loaded, config), _untied(model) if options.untie else nullcontext():
        traced, tensors, fixed = _hold(loaded, config, options, preprocessor)
        _keep_what_is_used(traced, loaded)
        with quiet_torchscript(), torch.no_grad():
            signature = signature_of(config, fixed, tensors, traced(*tensors))
            save(torch.jit.freeze(traced) if options.freeze else traced, signature, Path(output))
    return signature


def _hold(
    model: LoadedModel, config: OnnxConfig, options: TorchScriptOptions, preprocessor: Any
) -> tuple[torch.jit.ScriptModule, Tensors, Mapping[str, int]]:
    """A trace that holds at any shape or raises, the inputs that it was made with, and the lengths of the axes that it holds at alone."""
    others = partial(inputs_at, config, model.dtype, preprocessor, np.random.default_rng(_SEED))
    for size in _sizes(config, options):
        wrapper, tensors = sample(model, config, size, preprocessor)
        with quiet_torchscript(), torch.no_grad(), config.patch(model.module):
            traced = trace(wrapper, config, tensors, {})
            fixed = fixed_axes(traced, wrapper, config, tensors, size, others)
        if not fixed:
            return traced, tensors, fixed
    with quiet_torchscript(), torch.no_grad(), config.patch(model.module):
        return trace(wrapper, config, tensors, fixed), tensors, fixed


def _sizes(config: OnnxConfig, options: TorchScriptOptions) -> list[Size]:
    """The shapes to trace at, until one holds for all: a small one first, then the longest.

    The options may set both. Raises NotSupportedError for an impossible shape.
    """
    longest = config.max_sequence_length
    shapes = dict.fromkeys(
        (options.batch_size or batch, options.sequence_length or length)
        for batch, length in ((config.default_fixed_batch, min(config.default_fixed_sequence, longest)), (1, longest))
    )
    return [size_of(config, batch, length, options.decoder_length) for batch, length in shapes]


def _keep_what_is_used(traced: torch.jit.ScriptModule, model: LoadedModel) -> None:
    """Empty the tensors that the code does not read, such as an unused pooler's; other names of a used one stay.

    Raises ConversionError if the checkpoint lacks a used one: a head of random numbers is never exported.
    """
    used = used_tensors(traced, model)
    named = [*traced.named_parameters(remove_duplicate=False), *traced.named_buffers(remove_duplicate=False)]
    for name, tensor in named:
        if tensor.data_ptr() not in used:
            owner, _, attribute = name.rpartition(".")
            setattr(attrgetter(owner)(traced), attribute, tensor.new_empty(0))


@contextmanager
def _untied(model: torch.nn.Module) -> Iterator[None]:
    """Give each name of a weight a separate tensor."""
    seen: set[int] = set()
    tied: list[tuple[torch.nn.Module, str, torch.nn.Parameter]] = []
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) in seen:
                tied.append((module, name, parameter))
            seen.add(id(parameter))
    for module, name, parameter in tied:
        setattr(module, name, torch.nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad))
    try:
        yield
    finally:
        for module, name, parameter in tied:
            setattr(module, name, parameter)
