"""Predict the memory of a job from its weights and its logits.

Memory is anonymous memory in bytes, which the kernel cannot drop. Mapped weights do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converter.architectures import FEATURES
from converter.backends import BACKENDS
from converter.backends.costs import Demand
from converter.checkpoints.quantization import quantization_method
from converter.checkpoints.stored import stored_tensors
from converter.core.records import Checkpoint
from converter.pipeline import Plan

SERVER_BYTES = 360_000_000
"""Memory of the imports, shared by all workers: RssAnon of a starting worker, see docs/reference/measurements.md."""


_HALVES = ("float16", "bfloat16")
_FLOATS: Mapping[str, float] = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
"""Bytes of an element of each floating point type, as safetensors names it."""
_QUANTIZED: Mapping[str, float] = {"fp8": 1, "mxfp8": 1, "mxfp4": 0.5}
"""Bytes of a quantized weight by its method; mxfp4's are two in a byte, U8 to safetensors."""
_UNHEARD_OF = 10**9
"""No vocabulary and no text has as many tokens."""
_WITHOUT_LIMIT = 512
"""Tokens of the validation for a model without a limit, as in `OnnxConfig.max_sequence_length`."""


def predicted_bytes(plan: Plan) -> int:
    """The predicted peak of a job's memory beyond the imports, in bytes.

    Weights narrower than float32 are widened at load or by ONNX Runtime, and are then no view of their file.
    """
    options, checkpoint = plan.job.options, plan.checkpoint
    stored, as_float32 = _weight_bytes(checkpoint)
    copied = as_float32 if as_float32 != stored else 0
    feature = FEATURES.get(options.feature or "")
    logits = _logits_bytes(checkpoint.config) if feature and feature.task.endswith("-lm") else 0
    backend = BACKENDS[plan.job.backend]
    more = backend.costs.of_types.get(str(checkpoint.config.get("model_type")), 1)
    predicted = copied + _held(backend.costs.memory, as_float32 * more, logits)
    if backend.costs.variants_memory is None or not (backend.variants and backend.variants.requested(options)):
        return predicted
    return max(predicted, _held(backend.costs.variants_memory, as_float32, logits))


def _held(demand: Demand, weights: float, logits: int) -> int:
    return round(demand.start + demand.weights * weights + demand.logits * logits)


def _weight_bytes(checkpoint: Checkpoint) -> tuple[int, int]:
    """The bytes of a checkpoint's weights: on disk, and in float32. Without a header, config.json has their type."""
    named = checkpoint.config.get("dtype", checkpoint.config.get("torch_dtype"))
    quantized = _QUANTIZED.get(quantization_method(checkpoint.config))
    width = quantized or (2 if named in _HALVES else 4)
    floats = {**_FLOATS, "U8": quantized} if quantized else _FLOATS
    stored = as_float32 = 0
    for name, size in checkpoint.files.items():
        if name.endswith((".safetensors", ".bin")):
            sizes = _tensor_bytes(checkpoint.folder / name, floats) if checkpoint.folder and name.endswith(".safetensors") else None
            of_file, widened = sizes or (size, round(size * 4 / width))
            stored, as_float32 = stored + of_file, as_float32 + widened
    return stored, as_float32


def _tensor_bytes(path: Path, floats: Mapping[str, float]) -> tuple[int, int] | None:
    """The bytes of the tensors in a safetensors file, on disk and in float32; None if its header is unreadable.

    `floats` has the bytes of an element of each type.
    """
    try:
        tensors = stored_tensors(path).values()
    except (OSError, ValueError):  # the job reports the problem
        return None
    return sum(tensor.length for tensor in tensors), sum(round(tensor.length * 4 / floats.get(tensor.dtype, 4)) for tensor in tensors)


def _logits_bytes(config: Mapping[str, Any]) -> int:
    """The bytes of the logits of one text as long as the model takes, in float32; 0 where config.json has no figures for that."""
    vocabulary = config.get("vocab_size")
    length = config.get("max_position_embeddings") or config.get("n_positions") or _WITHOUT_LIMIT
    if not isinstance(vocabulary, int) or not isinstance(length, int):
        return 0
    # whatever is wrong with them, its job will tell
    return 4 * vocabulary * length if 0 < vocabulary < _UNHEARD_OF and 0 < length < _UNHEARD_OF else 0
