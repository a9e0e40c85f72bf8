"""From a model to compiled archives: look at it, compile it for each bucket, save each with all that a client needs to know."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from converter.architectures import OnnxConfig
from converter.architectures.config import Size
from converter.architectures.dummies import lengths_at
from converter.backends.neuron import NeuronBackend, NeuronOptions, sdk
from converter.backends.neuron.check import look, sizes
from converter.backends.neuron.client import write_config
from converter.backends.neuron.static import told_that_it_is_traced
from converter.backends.traced.archive import save
from converter.backends.traced.form import prepared, quiet_torchscript, signature_of
from converter.checkpoints.calling import sample
from converter.checkpoints.loading import LoadedModel
from converter.errors import ConversionError
from converter.records import Bucket, Signature


def export(preprocessor: Any, model: Any, config: OnnxConfig, options: NeuronOptions, folder: Path) -> Signature:
    """Compile `model` for Neuron into `folder`: model.neuron and config.json for the longest text, `buckets/N/` with the same for others.

    A compiled archive takes int64 tensors by position, of its shape alone (of any batch where it is dynamic), and returns a tuple of
    tensors. It runs where the SDK's runtime finds a Neuron device.

    Args:
        preprocessor: the checkpoint's tokenizer, for a configuration that makes its own inputs with it; None otherwise.
        model: a model of transformers (`torch.nn.Module`) in float32 or float16. It may lie on another device afterwards.
        config: what is exported of it.
        options: the target, the shapes, and what the compiler may do.
        folder: an empty folder.

    Returns: how it is called, and by which file; each archive holds the same as JSON, in its extra file `signature.json`.

    Raises: NotSupportedError where there is no SDK for it, or for a shape, a feature or a dtype that cannot be; ConversionError where it
    decides anything by values, where the SDK does not compile it, or where a weight would be made up; OutputError where it cannot be
    written.
    """
    loaded, folder = LoadedModel(model), Path(folder).absolute()
    found = sdk.find(options.target)
    with prepared(loaded, config):
        shapes = sizes(config, options)
        for size in shapes:
            _refuse_what_cannot_be(loaded, config, size, preprocessor)
        signature = _signature(loaded, config, options, shapes, preprocessor)
        for size, bucket in zip(shapes, signature.buckets, strict=True):
            path = folder / bucket.file
            path.parent.mkdir(parents=True, exist_ok=True)
            alone = Bucket(file=path.name, fixed=bucket.fixed)  # each folder is one that is served, and validated, by itself too
            own = signature if path.parent == folder else signature.model_copy(update={"fixed": bucket.fixed, "buckets": (alone,)})
            _compile(found, loaded, config, options, size, preprocessor, own, path)
            write_config(path.parent, loaded.written, config, options, found, lengths_at(config, size), loaded.dtype)
    return signature


def _refuse_what_cannot_be(model: LoadedModel, config: OnnxConfig, size: Size, preprocessor: Any) -> None:
    wrong = [finding.told for finding in look(model, config, size, preprocessor) if finding.passed is False]
    if wrong:
        more = f", and {len(wrong) - 1} more; see them with --check" if len(wrong) > 1 else ""
        raise ConversionError(f"Neuron cannot take this model: {wrong[0]}{more}", "choose another feature, or convert it to onnx")


def _signature(model: LoadedModel, config: OnnxConfig, options: NeuronOptions, shapes: Sequence[Size], preprocessor: Any) -> Signature:
    fixed = [_fixed(lengths_at(config, size), config, options) for size in shapes]
    lengths = options.sequence_length
    files = [*(f"buckets/{length}/{NeuronBackend.main_file}" for length in lengths[:-1]), NeuronBackend.main_file]
    buckets = tuple(Bucket(file=file, fixed=each) for file, each in zip(files, fixed, strict=True))
    flat_model, tensors = sample(model, config, shapes[-1], preprocessor)
    with torch.no_grad():
        return signature_of(config, fixed[-1], tensors, flat_model(*tensors), buckets)


def _fixed(lengths: Mapping[str, int], config: OnnxConfig, options: NeuronOptions) -> dict[str, int]:
    """The axes that have one length: all, but that a dynamic batch is portioned along the first of every input."""
    batch = {axes[0] for axes in config.inputs.values()} if options.dynamic_batch else set()
    return {label: length for label, length in lengths.items() if label not in batch}


def _compile(
    found: sdk.Sdk,
    model: LoadedModel,
    config: OnnxConfig,
    options: NeuronOptions,
    size: Size,
    preprocessor: Any,
    signature: Signature,
    path: Path,
) -> None:
    flat_model, tensors = sample(model, config, size, preprocessor)
    weights = sum(tensor.nbytes for tensor in {each.data_ptr(): each for each in model.tensors().values()}.values())
    with tempfile.TemporaryDirectory(prefix="converter-neuron-") as workdir, quiet_torchscript():
        with torch.no_grad(), config.patch(model.module), told_that_it_is_traced():
            compiled = found.trace(flat_model, tensors, options, Path(workdir))
        save(compiled, signature, path, weights)
