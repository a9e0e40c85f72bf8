"""A double of torch-neuron 1.13, by the signature that AWS's documentation of `torch_neuron.trace` records."""

from __future__ import annotations

from typing import Any

import neuron_double

_DOCUMENTED = {
    "compiler_args",
    "compiler_timeout",
    "compiler_workdir",
    "subgraph_builder_function",
    "minimum_segment_size",
    "single_fusion_ratio_threshold",
    "fallback",
    "dynamic_batch_size",
    "optimizations",
    "separate_weights",
    "strict",  # torch.jit.trace's, to which all others are handed on
}


def trace(model: Any, example_inputs: Any, **kwargs: Any) -> Any:
    unknown = kwargs.keys() - _DOCUMENTED
    if unknown:
        raise TypeError(f"trace() got an unexpected keyword argument {sorted(unknown)[0]!r}")
    neuron_double.note("torch_neuron.trace", model=model, example_inputs=example_inputs, **kwargs)
    return neuron_double.traced(model, example_inputs, kwargs.get("dynamic_batch_size", False))
