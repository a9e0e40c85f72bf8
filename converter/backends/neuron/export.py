"""From a model to compiled archives: look at it, compile it for each bucket, save each with all that a client needs to know."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from converter.architectures import OnnxConfig
from converter.backends.neuron import NeuronBackend, NeuronOptions, sdk
from converter.backends.neuron.check import Call, calls, look
from converter.backends.neuron.client import neuron_block, write_config
from converter.backends.neuron.static import reporting_tracing
from converter.backends.traced.archive import save
from converter.backends.traced.form import prepared, quiet_torchscript, signature_of
from converter.checkpoints.loading import LoadedModel
from converter.core.errors import ConversionError
from converter.core.records import Bucket, Signature


def export(preprocessor: Any, model: Any, config: OnnxConfig, options: NeuronOptions, folder: Path) -> Signature:
    """Compile `model` for Neuron into `folder`: model.neuron and config.json for the longest text, `buckets/N/` for others.

    A compiled archive takes int64 tensors by position, of its shape only (of any batch with `dynamic_batch`), and returns a tuple of
    tensors. It runs if the SDK's runtime finds a Neuron device.

    Args:
        preprocessor: the checkpoint's tokenizer, for a configuration that makes its own inputs with it; otherwise None.
        model: a model of transformers (`torch.nn.Module`) in float32 or float16. It may be on another device afterwards.
        config: the configuration of the export.
        options: the target, the shapes, and the compiler's options.
        folder: an empty folder.

    Returns:
        The signature with the file of each bucket; each archive has the same as JSON, in its extra file `signature.json`.

    Raises:
        NotSupportedError: there is no SDK, or a shape, feature or dtype is impossible.
        ConversionError: the model branches on values, the SDK does not compile it, or a weight is missing.
        OutputError: the folder cannot be written.
    """
    loaded, folder = LoadedModel.of(model), Path(folder).absolute()
    toolkit = sdk.find(options.target)
    with prepared(loaded, config):
        asked = calls(loaded, config, options, preprocessor)
        for call in asked:
            _refuse_what_cannot_be(loaded, config, call, preprocessor)
        signature = _signature(config, options, asked)
        # counted first: the SDK may move the model to its device
        weights = sum(tensor.nbytes for tensor in {weight.data_ptr(): weight for weight in loaded.tensors().values()}.values())
        compiler = _Compiler(toolkit, loaded, config, options, weights)
        for call, bucket in zip(asked, signature.buckets, strict=True):
            path = folder / bucket.file
            path.parent.mkdir(parents=True, exist_ok=True)
            block = neuron_block(config, options, toolkit, call.axes, loaded.dtype)
            alone = Bucket(file=path.name, fixed=bucket.fixed)  # each folder is one that is served, and validated, by itself too
            own = signature if path.parent == folder else signature.model_copy(update={"fixed": bucket.fixed, "buckets": (alone,)})
            compiler.compile(call, own, path)
            write_config(path.parent, {**loaded.written, "neuron": block})
    return signature


def _refuse_what_cannot_be(model: LoadedModel, config: OnnxConfig, call: Call, preprocessor: Any) -> None:
    wrong = [finding.message for finding in look(model, config, call, preprocessor) if finding.passed is False]
    if wrong:
        more = f", and {len(wrong) - 1} more; see them with --check" if len(wrong) > 1 else ""
        raise ConversionError(f"Neuron cannot take this model: {wrong[0]}{more}", "choose another feature, or convert it to onnx")


def _signature(config: OnnxConfig, options: NeuronOptions, asked: Sequence[Call]) -> Signature:
    files = [*(f"buckets/{length}/{NeuronBackend.files.main}" for length in options.sequence_length[:-1]), NeuronBackend.files.main]
    buckets = tuple(Bucket(file=file, fixed=_fixed(call.axes, config, options)) for file, call in zip(files, asked, strict=True))
    longest = asked[-1]
    with torch.no_grad():
        return signature_of(config, buckets[-1].fixed, longest.tensors, longest.wrapper(*longest.tensors), buckets)


def _fixed(lengths: Mapping[str, int], config: OnnxConfig, options: NeuronOptions) -> dict[str, int]:
    """The axes that have one length: all, but that a dynamic batch is portioned along the first of every input."""
    batch = {axes[0] for axes in config.inputs.values()} if options.dynamic_batch else set()
    return {label: length for label, length in lengths.items() if label not in batch}


@dataclass(frozen=True)
class _Compiler:
    """The SDK with the model and its options; an archive has about as many bytes as the `weights`."""

    toolkit: sdk.Sdk
    model: LoadedModel
    config: OnnxConfig
    options: NeuronOptions
    weights: int

    def compile(self, call: Call, signature: Signature, path: Path) -> None:
        """Compile and save one call."""
        with tempfile.TemporaryDirectory(prefix="converter-neuron-") as workdir, quiet_torchscript():
            with torch.no_grad(), self.config.patch(self.model.module), reporting_tracing():
                compiled = self.toolkit.trace(call.wrapper, call.tensors, self.options, Path(workdir))
            save(compiled, signature, path, self.weights)
