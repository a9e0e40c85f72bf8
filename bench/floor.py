"""The unavoidable cost of a conversion: `python -m bench.floor CHECKPOINT FEATURE ARTIFACT` prints its CPU seconds as JSON.

Read the weights for their sha256, write and hash as many bytes as the artifact has, open an ONNX Runtime session, and run the calls of
the validation in each runtime. Imports, loading, comparing and all other work are excluded.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import onnxruntime
import transformers

from converter.architectures import FEATURES, find_architecture
from converter.backends import BACKENDS
from converter.checkpoints.loading import load_model, load_tokenizer
from converter.core.typing import Array
from converter.validation.reference import Reference
from converter.validation.validate import validate

_TIMES = 3


class _Session(onnxruntime.InferenceSession):  # type: ignore[misc]  # onnxruntime lacks types
    """Records how it was opened and called."""

    opened: ClassVar[list[tuple[Any, Any]]] = []
    calls: ClassVar[list[tuple[Any, ...]]] = []

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.opened.append((arguments, named))
        super().__init__(*arguments, **named)

    def run(self, *arguments: Any) -> Any:
        self.calls.append(arguments)
        return super().run(*arguments)


class _Reference(Reference):
    """Records its calls."""

    calls: ClassVar[list[Mapping[str, Array]]] = []

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        self.calls.append(inputs)
        return super().run(inputs)


class _Floor:
    """The CPU seconds of each part, a list of measurements by its name."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.seconds.setdefault(name, []).append(time.process_time() - started)


def measure(checkpoint: Path, feature: str, artifact: Path) -> dict[str, float]:
    """CPU seconds by part: the median of three, after a validation that records the calls."""
    backend = BACKENDS["onnx"]
    options = backend.options(feature=feature, profile="documented")
    auto_class = FEATURES[feature].auto_classes[0]
    model = load_model(checkpoint, auto_class, options.loads_as)
    config = find_architecture(model.config.model_type).configure(model.config, feature)
    with mock.patch.object(onnxruntime, "InferenceSession", _Session), closing(backend.open(artifact)) as session:
        reference = _Reference(model, tuple(config.outputs))
        verdict = validate(session, reference, config, load_tokenizer(checkpoint), options)
    assert verdict.passed and verdict.generation is None, "what generation runs is not remembered"
    ((arguments, named),) = _Session.opened
    floor = _Floor()
    for _ in range(_TIMES):
        with tempfile.TemporaryDirectory(prefix="converter-bench-") as folder:
            written = Path(folder, "model.onnx")
            with floor.part("read"):
                _hash(checkpoint / "model.safetensors")
            with floor.part("write"):
                shutil.copyfile(artifact / backend.files.main, written)
            with floor.part("hash"):
                _hash(written)
        fresh = Reference(load_model(checkpoint, auto_class, options.loads_as), tuple(config.outputs))
        with floor.part("session"):
            opened = onnxruntime.InferenceSession(*arguments, **named)
        with floor.part(f"{len(_Session.calls)} forwards in ONNX Runtime"):
            for call in _Session.calls:
                opened.run(*call)
        with floor.part(f"{len(_Reference.calls)} in PyTorch"):
            for inputs in _Reference.calls:
                fresh.run(inputs)
    return {name: statistics.median(values) for name, values in floor.seconds.items()}


def _hash(path: Path) -> None:
    with open(path, "rb") as file:
        hashlib.file_digest(file, "sha256")


if __name__ == "__main__":
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # as it does
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))))
