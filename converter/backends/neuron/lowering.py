"""A model lowered to HLO by torch-xla, which torch_neuronx.trace records with too: which operators are left to the host?

torch-xla is optional: it is large, wants torch 2.9, and comes with the SDK or by `make neuron-check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

import torch

from converter.backends.traced.form import Tensors
from converter.checkpoints.export_wrappers import ExportWrapper
from converter.core.reason import reason
from converter.core.records import Finding


def lower(wrapper: ExportWrapper, tensors: Tensors, axes: Mapping[str, int], atol: float) -> Finding:
    """Lower a call of `flat_model` with `tensors` on XLA's CPU; a Finding without a verdict if torch-xla is not installed."""
    if find_spec("torch_xla") is None:
        return Finding(axes=axes, message="torch-xla is not installed here, so nothing was lowered to HLO", passed=None)
    import torch_xla
    from torch_xla import runtime
    from torch_xla.debug import metrics

    runtime.set_device_type("CPU")
    device = torch_xla.device()
    expected = wrapper(*tensors)
    try:
        wrapper.to(device)
        moved = [tensor.to(device) for tensor in tensors]
        torch_xla.sync()
        metrics.clear_all()
        results = wrapper(*moved)
        hlo = torch_xla._XLAC._get_xla_tensors_hlo(list(results))  # private, and the only way to its text
        left = metrics.executed_fallback_ops()
        pairs = [(output.cpu(), result) for output, result in zip(results, expected, strict=True)]
        error = max(float((output - result).abs().max()) for output, result in pairs)
        close = all(torch.allclose(output, result, rtol=1e-5, atol=atol) for output, result in pairs)  # as in validation
    except Exception as problem:  # the model's own code runs here, on another device: whatever it raises, it is not lowered
        return Finding(axes=axes, message=f"torch-xla {torch_xla.__version__} does not lower it: {reason(problem)}", passed=False)
    finally:
        wrapper.to("cpu")
    count = sum(" = " in line for line in hlo.splitlines())
    message = f"torch-xla {torch_xla.__version__} lowers it to {count} instructions of HLO, {error:.1e} off on XLA's CPU"
    if left:
        return Finding(axes=axes, message=f"{message}, and leaves to the host: {', '.join(left)}", passed=False)
    return Finding(axes=axes, message=f"{message}; no operator falls back to the host", passed=close)
