"""`config.json` beside a compiled model, as the clients of optimum-neuron read it: the checkpoint's own, with a `neuron` block."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from converter.architectures import OnnxConfig
from converter.backends.neuron import NeuronOptions
from converter.backends.neuron.sdk import Sdk
from converter.core.errors import ConversionError
from converter.core.output_errors import output_error

_FLOATS = {"float32": "fp32", "float16": "fp16"}

CONFIG = "config.json"


def write_config(folder: Path, content: Mapping[str, Any]) -> None:
    """Write it into `folder`. Raises OutputError."""
    path = folder / CONFIG
    try:
        path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise output_error(path, error) from error


def neuron_block(config: OnnxConfig, options: NeuronOptions, sdk: Sdk, fixed: Mapping[str, int], dtype: str) -> dict[str, Any]:
    """The block for a model compiled for the lengths `fixed`, by the names that optimum-neuron 0.4 writes and its classes read."""
    cast = options.auto_cast != "none"
    choices = {"static_num_choices": fixed["choice"]} if "choice" in fixed else {}
    return {
        "compiler_type": sdk.generation.compiler,
        "compiler_version": sdk.compiler_version,
        "inline_weights_to_neff": True,
        "static_batch_size": options.batch_size,
        "static_sequence_length": _sequence(config, fixed),
        **choices,
        "dynamic_batch_size": options.dynamic_batch,
        "tensor_parallel_size": 1,
        "optlevel": _optlevel(options),
        "auto_cast": options.auto_cast.replace("matmult", "matmul") if cast else None,
        "auto_cast_type": options.auto_cast_type if cast else None,
        "disable_fast_relayout": False,
        "disable_fallback": options.dynamic_batch and options.target == "inf1",
        "input_names": list(config.inputs),
        "output_names": list(config.outputs),
        "int_dtype": "int64",
        "float_dtype": _FLOATS.get(dtype, dtype),
        "model_type": str(config._config.model_type).replace("_", "-"),
        "task": next(iter(config.feature.synonyms), config.task),
        "output_attentions": False,
        "output_hidden_states": False,
    }


def compiler_of(folder: Path) -> str:
    """The compiler named by the config.json in a folder. Raises ConversionError if it names none."""
    try:
        return str(json.loads((folder / CONFIG).read_bytes())["neuron"]["compiler_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConversionError(f"{folder / CONFIG} does not say which compiler it was made by", "convert the checkpoint again") from error


def _sequence(config: OnnxConfig, fixed: Mapping[str, int]) -> int:
    axes = config.inputs.get("input_ids") or next(iter(config.inputs.values()))
    return fixed[axes[max(axes)]]


def _optlevel(options: NeuronOptions) -> str:
    """The compiler's arguments, or its defaults."""
    words = shlex.split(options.compiler_args)
    for word, after in pairwise([*words, ""]):
        name, _, value = word.partition("=")
        if name in ("--optlevel", "-O"):
            return value or after
        if name in ("-O1", "-O2", "-O3"):
            return name[2:]
    return "2"
