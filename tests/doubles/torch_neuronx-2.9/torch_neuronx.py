"""A double of torch-neuronx 2.9, by the signatures that AWS's documentation records."""

from __future__ import annotations

import os
from typing import Any

import neuron_double

TARGET = os.environ.get("NEURON_PLATFORM_TARGET_OVERRIDE")
"""As the SDK does, it looks for the device that it compiles for when it is imported."""

_made: dict[int, tuple[Any, Any]] = {}


def trace(
    func: Any,
    example_inputs: Any,
    *_: Any,
    input_output_aliases: Any = {},  # noqa: B006 - as recorded
    compiler_workdir: Any = None,
    compiler_args: Any = None,
    partitioner_config: Any = None,
    inline_weights_to_neff: bool = True,
    cpu_backend: bool = False,
) -> Any:
    if cpu_backend and "--target" not in (compiler_args or ""):
        raise RuntimeError("If you want to compile on CPU, please supply compiler argument target")
    neuron_double.note(
        "torch_neuronx.trace",
        model=func,
        example_inputs=example_inputs,
        more=_,
        input_output_aliases=input_output_aliases,
        compiler_workdir=compiler_workdir,
        compiler_args=compiler_args,
        partitioner_config=partitioner_config,
        inline_weights_to_neff=inline_weights_to_neff,
        cpu_backend=cpu_backend,
        platform_target=TARGET,
    )
    made = neuron_double.traced(func, example_inputs)
    _made[id(made)] = (func, example_inputs)
    return made


def dynamic_batch(neuron_script: Any) -> Any:
    neuron_double.note("torch_neuronx.dynamic_batch", neuron_script=neuron_script)
    return neuron_double.traced(*_made.pop(id(neuron_script)), dynamic=True)
