"""A backend in one file: the checkpoint in float32, as safetensors that transformers loads.

A package adds it by an entry point in its pyproject.toml:

    [project.entry-points."converter.backends"]
    float32_copy = "float32_copy:BACKEND"
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.backends import ArtifactFiles, Backend, CardText, ConversionResult, StoredWeight
from converter.core.errors import ConversionError
from converter.core.records import Options, Signature, TensorSpec

if TYPE_CHECKING:
    from converter.backends import ConfiguredModel, Conversion, Session

_SIGNATURE = "signature.json"


class CopySession:
    """An artifact, loaded by transformers from the written files."""

    runtime = "transformers"
    unrunnable = ""
    notes: Sequence[str] = ()
    has_all_weights = True

    def __init__(self, folder: Path) -> None:
        import transformers

        try:
            written = json.loads((folder / _SIGNATURE).read_bytes())
            self._model: Any = getattr(transformers, written["class"]).from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ConversionError(f"{folder} holds no model that transformers loads: {error}", "convert it again") from error
        self.signature = Signature.model_validate(written["signature"])

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        import torch

        with torch.inference_mode():
            outputs = self._model(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        return {spec.name: outputs[spec.name].numpy() for spec in self.signature.outputs}

    def time(self, inputs: Mapping[str, Any]) -> float:
        started = time.perf_counter()
        self.run(inputs)
        return time.perf_counter() - started

    def tokens_apart(self, name: str, vocabulary: int) -> Collection[int]:
        return ()

    def changes(self) -> Iterator[str]:
        return iter(())

    def weights(self) -> Iterator[StoredWeight]:
        for name, tensor in self._model.named_parameters(remove_duplicate=False):
            yield StoredWeight(name, tensor.detach().numpy(), storage=tensor.data_ptr())

    def close(self) -> None:
        del self._model


class CopyBackend(Backend):
    name = "float32_copy"
    title = "float32 copy"
    files = ArtifactFiles(layouts=(("model.safetensors",),), client_patterns=("*.safetensors",))
    options = Options
    packages = ("torch", "transformers", "float32-copy")
    card = CardText(library="transformers", usage='model = AutoModel.from_pretrained("REPOSITORY", subfolder="float32_copy")')

    def convert(self, configured: ConfiguredModel, conversion: Conversion, folder: Path) -> ConversionResult:
        model, config = configured.model.module, configured.config
        model.save_pretrained(folder)
        inputs = (TensorSpec(name=name, dtype="int64", shape=tuple(axes.values())) for name, axes in config.inputs.items())
        lengths = _lengths(model, config.inputs, config.outputs)
        outputs = (
            TensorSpec(name=name, dtype="float32", shape=tuple(axes.get(axis, length) for axis, length in enumerate(lengths[name])))
            for name, axes in config.outputs.items()
        )
        signature = Signature(inputs=tuple(inputs), outputs=tuple(outputs))
        written = {"class": type(model).__name__, "signature": signature.model_dump()}
        (folder / _SIGNATURE).write_text(json.dumps(written), encoding="utf-8")
        return ConversionResult()

    def open(self, folder: Path) -> Session:
        return CopySession(folder)


def _lengths(model: Any, inputs: Collection[str], outputs: Collection[str]) -> Mapping[str, tuple[int, ...]]:
    """The shape of each output for two texts of three tokens, as a model of text takes them."""
    import torch

    with torch.inference_mode():
        results = model(**{name: torch.ones(2, 3, dtype=torch.int64) for name in inputs})
    return {name: tuple(results[name].shape) for name in outputs}


BACKEND = CopyBackend()
