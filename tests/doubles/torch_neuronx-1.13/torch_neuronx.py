"""A double of the first torch-neuronx 1.13, whose `trace` took two arguments beside the model and its inputs."""

from __future__ import annotations

from typing import Any

import neuron_double


def trace(func: Any, example_inputs: Any, *, compiler_workdir: Any = None, compiler_args: Any = None) -> Any:
    neuron_double.note(
        "torch_neuronx.trace", model=func, example_inputs=example_inputs, compiler_workdir=compiler_workdir, compiler_args=compiler_args
    )
    return neuron_double.traced(func, example_inputs)
