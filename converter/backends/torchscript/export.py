"""From a model to a TorchScript archive: sample, trace, probe at other shapes, guard where they do not agree, save."""

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

_SEED = 1  # of the inputs that a trace is probed with; another than that of those it is made with


def export(preprocessor: Any, model: Any, config: OnnxConfig, options: TorchScriptOptions, output: Path) -> Signature:
    """Trace `model` and save it to the archive `output`, which torch.jit.load and libtorch load without transformers.

    Its forward takes int64 tensors by position or by name and returns a tuple of tensors. At another shape than the traced one it gives
    what the model gives, or it raises; which of the two is measured, axis by axis.

    Args:
        preprocessor: the checkpoint's tokenizer, for a configuration that makes its own inputs with it; None otherwise.
        model: a model of transformers (`torch.nn.Module`) in float32 or float16. It is unchanged afterwards.
        config: what is exported of it.
        options: the shape to trace at, and how the weights are stored.
        output: the file to be written.

    Returns: how it is called; the archive holds the same as JSON, in its extra file `signature.json`.

    Raises: NotSupportedError for a shape, a feature or a dtype that cannot be; ConversionError where the configuration does not fit the
    model, where the model cannot be traced, or where a weight would be made up; OutputError where it cannot be written.
    """
    loaded = LoadedModel(model)
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
    """The shapes to trace at, until one holds at any: a small one first, then the longest, which takes in all that is shorter.

    Both are as the options have it. Raises NotSupportedError for what the model cannot have.
    """
    longest = config.max_sequence_length
    shapes = dict.fromkeys(
        (options.batch_size or batch, options.sequence_length or length)
        for batch, length in ((config.default_fixed_batch, min(config.default_fixed_sequence, longest)), (1, longest))
    )
    return [size_of(config, batch, length, options.decoder_length) for batch, length in shapes]


def _keep_what_is_used(traced: torch.jit.ScriptModule, model: LoadedModel) -> None:
    """Empty the tensors that the code does not take, such as an unasked pooler's; other names of one that it takes stay.

    Raises ConversionError where the checkpoint lacks one that it takes: a head of random numbers is never exported.
    """
    used = used_tensors(traced, model)
    named = [*traced.named_parameters(remove_duplicate=False), *traced.named_buffers(remove_duplicate=False)]
    for name, tensor in named:
        if tensor.data_ptr() not in used:
            owner, _, attribute = name.rpartition(".")
            setattr(attrgetter(owner)(traced), attribute, tensor.new_empty(0))


@contextmanager
def _untied(model: torch.nn.Module) -> Iterator[None]:
    """Within it each name of a weight has a tensor of its own."""
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
