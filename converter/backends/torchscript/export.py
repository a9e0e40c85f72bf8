"""From a model to a TorchScript archive: sample, trace, probe at other shapes, guard where they do not agree, save."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from converter.architectures import OnnxConfig
from converter.architectures.config import Size, overridden
from converter.architectures.dummies import MASKED_BY, lengths_at
from converter.backends.torchscript import TorchScriptOptions
from converter.backends.torchscript.archive import save
from converter.backends.torchscript.probe import fixed_axes
from converter.backends.torchscript.runner import attributes_in_use
from converter.checkpoints.calling import FlatModel, inputs_at, sample
from converter.checkpoints.loading import LoadedModel, made_up_error
from converter.errors import ConversionError, ConverterError, NotSupportedError, reason
from converter.records import Signature, TensorSpec

Tensors = tuple[torch.Tensor, ...]

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
    if config.use_past:
        raise NotSupportedError(f"{config.feature.name} has a cache, and a trace has none", f"export it as {config.task}")
    if loaded.dtype == "bfloat16":
        raise NotSupportedError("no validation of bfloat16 is known here, so nothing could be proven", "leave dtype at float32")
    training = model.training
    model.eval()
    try:
        with overridden(loaded.config, config.values_override), _untied(model) if options.untie else nullcontext():
            traced, tensors, fixed = _hold(loaded, config, options, preprocessor)
            _keep_what_is_used(traced, loaded)
            with quiet_torchscript(), torch.no_grad():
                signature = _signature(config, fixed, tensors, traced(*tensors))
                save(torch.jit.freeze(traced) if options.freeze else traced, signature, Path(output))
    finally:
        model.train(training)
    return signature


def _hold(
    model: LoadedModel, config: OnnxConfig, options: TorchScriptOptions, preprocessor: Any
) -> tuple[torch.jit.ScriptModule, Tensors, Mapping[str, int]]:
    """A trace that holds at any shape or raises, the inputs that it was made with, and the lengths of the axes that it holds at alone."""
    others = partial(inputs_at, config, model.dtype, preprocessor, np.random.default_rng(_SEED))
    for size in _sizes(config, options):
        flat_model, tensors = sample(model, config, size, preprocessor)
        with quiet_torchscript(), torch.no_grad(), config.patch(model.module):
            traced = _trace(flat_model, config, tensors, {})
            fixed = fixed_axes(traced, flat_model, config, tensors, size, others)
        if not fixed:
            return traced, tensors, fixed
    with quiet_torchscript(), torch.no_grad(), config.patch(model.module):
        return _trace(flat_model, config, tensors, fixed), tensors, fixed


def _sizes(config: OnnxConfig, options: TorchScriptOptions) -> list[Size]:
    """The shapes to trace at, until one holds at any: a small one first, then the longest, which takes in all that is shorter.

    Both are as the options have it. Raises NotSupportedError for what the model cannot have.
    """
    longest = config.max_sequence_length
    shapes = dict.fromkeys(
        (options.batch_size or batch, options.sequence_length or length)
        for batch, length in ((config.default_fixed_batch, min(config.default_fixed_sequence, longest)), (1, longest))
    )
    return [_size(config, batch, length, options.decoder_length) for batch, length in shapes]


def _size(config: OnnxConfig, batch: int, sequence: int, decoder_length: int | None) -> Size:
    has_decoder = "decoder_input_ids" in config.inputs
    if decoder_length and not has_decoder:
        raise NotSupportedError(f"this model has no decoder beside an encoder for {config.task}", "leave --decoder-length out")
    target = decoder_length or sequence
    for flag, length in (("--sequence-length", sequence), ("--decoder-length", target)):
        if config.positions and length > config.positions:
            raise NotSupportedError(
                f"{flag} {length} is more than the {config.positions} tokens that the model has positions for", "choose a shorter one"
            )
    tokens = target if has_decoder else sequence
    size = Size(batch=batch, choice=config.default_fixed_num_choices, sequence=tokens, source=sequence)
    taken = lengths_at(config, size).get("decoder_sequence", target)
    if taken != target:
        raise NotSupportedError(f"for {config.task} the decoder takes as many tokens as the encoder, {taken}", "leave --decoder-length out")
    return size


def _trace(flat_model: FlatModel, config: OnnxConfig, tensors: Tensors, fixed: Mapping[str, int]) -> torch.jit.ScriptModule:
    """The model as code, which raises where an axis in `fixed` has another length."""
    form = _Traceable(flat_model, config, fixed)
    try:
        # strict=False: the model makes dictionaries on the way; check_trace: the probe and the validation do it at other shapes too
        traced = torch.jit.trace(form, tensors, strict=False, check_trace=False)  # type: ignore[no-untyped-call]  # torch's own lacks types
    except ConverterError:
        raise
    except Exception as error:  # a model's own code runs here, and may raise anything; it is told, with its cause
        raise ConversionError(f"the model could not be traced: {reason(error)}", "see with --debug what torch says in full") from error
    assert isinstance(traced, torch.jit.ScriptModule)
    return traced


class _Traceable(FlatModel):
    """A model whose forward takes its inputs under their own names, so that the archive's does too, and looks at their shapes first."""

    def __init__(self, flat_model: FlatModel, config: OnnxConfig, fixed: Mapping[str, int]) -> None:
        super().__init__(flat_model.model, tuple(config.inputs), tuple(config.outputs))
        told = ", ".join(f"{label} {length}" for label, length in fixed.items())
        guard = torch.jit.script(only_at) if fixed else None
        sizes = {
            name: [fixed.get(axes.get(axis, ""), -1) for axis in range(max(axes, default=-1) + 1)] for name, axes in config.inputs.items()
        }

        def forward(*tensors: torch.Tensor) -> Tensors:
            if guard is not None:
                tensors = tuple(guard(tensor, sizes[name], name, told) for name, tensor in zip(config.inputs, tensors, strict=True))
            return FlatModel.forward(self, *tensors)

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        forward.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in config.inputs])  # type: ignore[attr-defined]  # functions take it
        self.forward = forward  # type: ignore[method-assign]  # torch.jit.trace reads the names of its parameters


def only_at(tensor: torch.Tensor, sizes: list[int], name: str, told: str) -> torch.Tensor:
    """The guard, which is compiled into the archive: `tensor` as it is, if each axis has its size; -1 is any."""
    fits = tensor.dim() >= len(sizes)
    if fits:
        for axis, size in enumerate(sizes):
            if size >= 0 and tensor.size(axis) != size:
                fits = False
    if not fits:
        raise ValueError("{} has the shape {}, and this model takes {} alone: pad to that".format(name, list(tensor.shape), told))  # noqa: UP032 - TorchScript has no f-strings with calls
    return tensor


def _keep_what_is_used(traced: torch.jit.ScriptModule, model: LoadedModel) -> None:
    """Empty the tensors that the code does not take, such as an unasked pooler's; other names of one that it takes stay.

    Raises ConversionError where the checkpoint lacks one that it takes: a head of random numbers is never exported.
    """
    used = {tensor.data_ptr() for tensor in attributes_in_use(traced).values()}
    made_up = [name for name, tensor in model.tensors().items() if name in model.made_up and tensor.data_ptr() in used]
    if made_up:
        raise made_up_error(made_up)
    named = [*traced.named_parameters(remove_duplicate=False), *traced.named_buffers(remove_duplicate=False)]
    for name, tensor in named:
        if tensor.data_ptr() not in used:
            owner, _, attribute = name.rpartition(".")
            setattr(attrgetter(owner)(traced), attribute, tensor.new_empty(0))


def _signature(config: OnnxConfig, fixed: Mapping[str, int], inputs: Tensors, outputs: Tensors) -> Signature:
    token = config.pad_token_id
    return Signature(
        inputs=tuple(_spec(name, tensor, config.inputs[name]) for name, tensor in zip(config.inputs, inputs, strict=True)),
        outputs=tuple(_spec(name, tensor, config.outputs[name]) for name, tensor in zip(config.outputs, outputs, strict=True)),
        fixed=fixed,
        padding={name: token for name in MASKED_BY if name in config.inputs and token is not None} if fixed else {},
    )


def _spec(name: str, tensor: torch.Tensor, axes: Mapping[int, str]) -> TensorSpec:
    shape = tuple(axes.get(axis, length) for axis, length in enumerate(tensor.shape))
    return TensorSpec(name=name, dtype=str(tensor.dtype).removeprefix("torch."), shape=shape)


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


@contextmanager
def quiet_torchscript() -> Iterator[None]:
    """Silence what no user can act on: the deprecation, which is told once by the command, and the tracer's guesses, which are probed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is (deprecated|not supported)")
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]  # not in torch.jit's __all__
        # the tracer reads every attribute that a model has, and transformers warns of some
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")
        yield
