"""Prepare a model for tracing, choose the shape, trace it, and describe the result."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from converter.architectures import OnnxConfig
from converter.architectures.dummies import MASKED_BY, lengths_at
from converter.architectures.model_config import overridden
from converter.architectures.size import Size
from converter.backends.traced.runner import attributes_in_use
from converter.checkpoints.export_wrappers import ExportWrapper
from converter.checkpoints.loading import LoadedModel, made_up_error
from converter.core.errors import ConversionError, ConverterError, NotSupportedError
from converter.core.reason import reason
from converter.core.records import Bucket, Signature, TensorSpec

Tensors = tuple[torch.Tensor, ...]


@contextmanager
def prepared(model: LoadedModel, config: OnnxConfig) -> Iterator[None]:
    """Put the model into evaluation mode with the configuration of the export, and restore it afterwards.

    Raises NotSupportedError for a feature or dtype that cannot be traced.
    """
    if config.use_past:
        raise NotSupportedError(f"{config.feature.name} has a cache, and a trace has none", f"export it as {config.task}")
    if model.dtype == "bfloat16":
        raise NotSupportedError("no validation of bfloat16 is known here, so nothing could be proven", "leave dtype at float32")
    training = model.module.training
    model.module.eval()
    try:
        with overridden(model.config, config.values_override):
            yield
    finally:
        model.module.train(training)


def size_of(config: OnnxConfig, batch: int, sequence: int, decoder_length: int | None) -> Size:
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
    decoder_tokens = lengths_at(config, size).get("decoder_sequence", target)
    if decoder_tokens != target:
        raise NotSupportedError(
            f"for {config.task} the decoder takes as many tokens as the encoder, {decoder_tokens}", "leave --decoder-length out"
        )
    return size


def trace(wrapper: ExportWrapper, config: OnnxConfig, tensors: Tensors, fixed: Mapping[str, int]) -> torch.jit.ScriptModule:
    """The model as code that raises if an axis in `fixed` has another length."""
    form = Traceable(wrapper, config, fixed)
    try:
        # strict=False: the model makes dictionaries on the way; check_trace: the probe and the validation do it at other shapes too
        traced = torch.jit.trace(form, tensors, strict=False, check_trace=False)  # type: ignore[no-untyped-call]  # torch's own lacks types
    except ConverterError:
        raise
    except Exception as error:  # the model's own code runs here and may raise anything
        raise ConversionError(f"the model could not be traced: {reason(error)}", "--debug shows torch's whole message") from error
    assert isinstance(traced, torch.jit.ScriptModule)
    return traced


def disagreement(traced: torch.jit.ScriptModule, wrapper: ExportWrapper, tensors: Sequence[torch.Tensor]) -> str:
    """The difference between a trace and its model for `tensors`, in a clause; empty if they are equal."""
    try:
        expected, outputs = wrapper(*tensors), traced(*tensors)
    except Exception as error:  # a model's own code runs here, and a trace of it: whatever it raises, it does not run with these
        return reason(error)
    try:
        torch.testing.assert_close(outputs, expected)  # its default tolerance: both compute the same, by the same kernels
    except AssertionError:
        return "other numbers"
    return ""


class Traceable(ExportWrapper):
    """A model whose forward takes its inputs under their own names, so that the archive's does too, and looks at their shapes first."""

    def __init__(self, wrapper: ExportWrapper, config: OnnxConfig, fixed: Mapping[str, int]) -> None:
        super().__init__(wrapper.model, tuple(config.inputs), tuple(config.outputs))
        lengths = ", ".join(f"{label} {length}" for label, length in fixed.items())
        guard = torch.jit.script(shape_guard) if fixed else None
        sizes = {
            name: [fixed.get(axes.get(axis, ""), -1) for axis in range(max(axes, default=-1) + 1)] for name, axes in config.inputs.items()
        }

        def forward(*tensors: torch.Tensor) -> Tensors:
            if guard is not None:
                tensors = tuple(guard(tensor, sizes[name], name, lengths) for name, tensor in zip(config.inputs, tensors, strict=True))
            return ExportWrapper.forward(self, *tensors)

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        forward.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in config.inputs])  # type: ignore[attr-defined]  # functions take it
        self.forward = forward  # type: ignore[method-assign]  # torch.jit.trace reads the names of its parameters


def shape_guard(tensor: torch.Tensor, sizes: list[int], name: str, lengths: str) -> torch.Tensor:
    """The guard, compiled into the archive: returns `tensor` if each axis has its size; -1 allows any."""
    fits = tensor.dim() >= len(sizes)
    if fits:
        for axis, size in enumerate(sizes):
            if size >= 0 and tensor.size(axis) != size:
                fits = False
    if not fits:
        raise ValueError("{} has the shape {}, and this model takes {} alone: pad to that".format(name, list(tensor.shape), lengths))  # noqa: UP032 - TorchScript has no f-strings with calls
    return tensor


def used_tensors(traced: torch.jit.ScriptModule, model: LoadedModel) -> set[int]:
    """The addresses of the model's tensors that the code of `traced` reads.

    Raises ConversionError if the checkpoint lacks one: a head of random numbers is never exported.
    """
    used = {tensor.data_ptr() for tensor in attributes_in_use(traced).values()}
    made_up = [name for name, tensor in model.tensors().items() if name in model.made_up and tensor.data_ptr() in used]
    if made_up:
        raise made_up_error(made_up, model.has_head)
    return used


def signature_of(
    config: OnnxConfig, fixed: Mapping[str, int], inputs: Tensors, outputs: Tensors, buckets: tuple[Bucket, ...] = ()
) -> Signature:
    """How a trace that took `inputs` and gave `outputs` is called; `fixed` are the axes, by name, that it has one length for."""
    token = config.pad_token_id
    return Signature(
        inputs=tuple(_spec(name, tensor, config.inputs[name]) for name, tensor in zip(config.inputs, inputs, strict=True)),
        outputs=tuple(_spec(name, tensor, config.outputs[name]) for name, tensor in zip(config.outputs, outputs, strict=True)),
        fixed=fixed,
        equal=_equal_axes(config, fixed),
        padding={name: token for name in MASKED_BY if name in config.inputs and token is not None} if fixed else {},
        buckets=buckets,
    )


def _equal_axes(config: OnnxConfig, fixed: Mapping[str, int]) -> dict[str, str]:
    """The axes of outputs that are as long as an axis in `fixed` and go by another name, as in BART's decoder alone."""
    outputs = {label for axes in config.outputs.values() for label in axes.values()} - lengths_at(config, Size()).keys()
    apart = [
        config.axis_lengths(Size(batch=batch, choice=5, sequence=sequence, source=sequence + 4)) for batch, sequence in ((2, 7), (3, 9))
    ]
    return {
        label: axis
        for label in outputs
        for axis in fixed
        if all(axis in lengths and lengths.get(label) == lengths[axis] for lengths in apart)
    }


def _spec(name: str, tensor: torch.Tensor, axes: Mapping[int, str]) -> TensorSpec:
    shape = tuple(axes.get(axis, length) for axis, length in enumerate(tensor.shape))
    return TensorSpec(name=name, dtype=str(tensor.dtype).removeprefix("torch."), shape=shape)


@contextmanager
def quiet_torchscript() -> Iterator[None]:
    """Silence the deprecation, which the command reports once, and the tracer's guesses, which are probed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is (deprecated|not supported)")
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]  # not in torch.jit's __all__
        # the tracer reads every attribute that a model has, and transformers warns of some
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")
        warnings.filterwarnings("ignore", category=UserWarning, module=r"transformers\.")  # of a tensor that is a number to a model itself
        yield
