"""The distance of right and faulty conversions from float64, relative to PyTorch float32: the source of the bounds in `exactness`.

`python -m tests.planted.exactness FOLDER` converts the checkpoints of `good` and compares every output with float64. The same for
faults, made in PyTorch in place of an artifact. FOLDER keeps the artifacts for a second run.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from converter.architectures import OnnxConfig, find_architecture
from converter.architectures.model_config import overridden
from converter.backends import BACKENDS
from converter.checkpoints.loading import LoadedModel, load_model
from converter.core.records import Exactness, Signature
from converter.core.typing import Array
from converter.validation.case_inputs import InputGenerator, Inputs
from converter.validation.exactness import measure_exactness
from converter.validation.past import OwnPast
from converter.validation.reference import Reference
from tests.planted import good
from tests.planted.bases import Base

_SCALE = 1.001


class FaultyModel:
    """A stand-in for a session: PyTorch with a fault."""

    def __init__(self, reference: Reference, fault: Callable[[torch.nn.Module], None]) -> None:
        module = copy.deepcopy(reference.model.module)
        fault(module)
        self._reference = Reference(LoadedModel(module), reference.outputs)
        self.signature = Signature(inputs=(), outputs=())

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return self._reference.run(inputs)


def _middle_matrix(module: torch.nn.Module) -> torch.Tensor:
    matrices = [parameter for parameter in module.parameters() if parameter.dim() == 2 and min(parameter.shape) > 16]
    return matrices[len(matrices) // 2]


def _round_a_matrix(module: torch.nn.Module) -> None:
    matrix = _middle_matrix(module)
    matrix.data = matrix.data.half().float()


def _scale_a_matrix(module: torch.nn.Module) -> None:
    matrix = _middle_matrix(module)
    matrix.data = matrix.data * _SCALE


def _other_epsilon(module: torch.nn.Module) -> None:
    for submodule in module.modules():
        for name in ("eps", "variance_epsilon"):
            if isinstance(getattr(submodule, name, None), float):
                setattr(submodule, name, max(1e-5, getattr(submodule, name) * 10))


FAULTS: Mapping[str, Callable[[torch.nn.Module], None]] = {
    "one matrix rounded to float16": _round_a_matrix,
    f"one matrix x {_SCALE}": _scale_a_matrix,
    "the epsilon of norms 10 times as large, at least 1e-5": _other_epsilon,
}


def measure(base: Base, folder: Path) -> Iterator[tuple[str, Exactness]]:
    """The judgement of each output except caches: of the good artifact, and of each fault."""
    checkpoint = folder / "checkpoint"
    backend = BACKENDS[base.backend]
    options = backend.options.model_validate(base.asked)
    model_type = transformers.AutoConfig.from_pretrained(checkpoint).model_type
    architecture = find_architecture(model_type)
    model = load_model(checkpoint, architecture.auto_class(base.feature), "float32")
    config = backend.configure(architecture, model, options)
    reference = Reference(model, tuple(config.outputs))
    with overridden(model.config, config.values_override):
        cases = _cases(reference, config)
        names = [name for name in config.outputs if not name.startswith("present.")]
        session = backend.open(folder / "artifact")
        try:
            yield from _judged("right conversions", session, reference, config, cases, names)
        finally:
            session.close()
        for name, fault in FAULTS.items():
            yield from _judged(name, FaultyModel(reference, fault), reference, config, cases, names)


def _cases(reference: Reference, config: OnnxConfig) -> list[Inputs]:
    generator = InputGenerator(config, "float32", None, np.random.default_rng(1), ())
    longest = generator.longest_case()
    past = OwnPast(reference.run(longest.arrays)) if config.use_past else None
    return [*generator.grid(past), longest]


def _judged(
    kind: str, session: Any, reference: Reference, config: OnnxConfig, cases: Sequence[Inputs], names: Sequence[str]
) -> Iterator[tuple[str, Exactness]]:
    judged, _ = measure_exactness(cases, names, session, reference, config)
    yield from ((kind, exactness) for exactness in judged)


def table(results: Sequence[tuple[str, Exactness]]) -> Iterator[str]:
    """The lines of the table in docs/explanation/validation.md."""
    yield "| | outputs | max ratio: least, median, most | rms ratio: least, median, most | as exact as PyTorch |"
    yield "|---|---:|---|---|---:|"
    for kind in dict.fromkeys(kind for kind, _ in results):
        records = [exactness for name, exactness in results if name == kind]
        ratios = [
            [one / other for one, other in pairs if other]
            for pairs in (
                [(exactness.max_error, exactness.max_reference_error) for exactness in records],
                [(exactness.rms_error, exactness.rms_reference_error) for exactness in records],
            )
        ]
        cells = (f"{min(column):.2g}, {np.median(column):.3g}, {max(column):.3g}" for column in ratios)
        yield f"| {kind} | {len(records)} | {' | '.join(cells)} | {sum(exactness.passed for exactness in records)} |"


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers' own lacks types
    folder = Path(sys.argv[1])
    results: list[tuple[str, Exactness]] = []
    for conversion in good.conversions():
        place = good.place_of(conversion, folder)
        if conversion.base.backend != "onnx" or (not (place / "artifact").exists() and good.convert(conversion, folder)):
            continue
        results += measure(conversion.base, place)
        sys.stdout.write("\n".join((conversion.name, *table(results), "")))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
