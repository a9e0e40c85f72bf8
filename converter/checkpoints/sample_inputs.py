"""Sample inputs: tensors of a size that a model was seen to run with, for who captures or traces it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from converter.architectures import OnnxConfig
from converter.architectures.dummies import make_inputs
from converter.architectures.size import Size
from converter.checkpoints.calling import check_inputs
from converter.checkpoints.export_wrappers import ExportWrapper
from converter.checkpoints.loading import LoadedModel
from converter.checkpoints.pooling import check_mask
from converter.core.errors import ConversionError, ConverterError
from converter.core.reason import reason


def inputs_at(config: OnnxConfig, dtype: str, preprocessor: Any, rng: np.random.Generator, size: Size) -> tuple[torch.Tensor, ...]:
    """Inputs of a size as tensors, in the configuration's order; `make_inputs` says which."""
    arrays = make_inputs(config, size, rng, dtype=dtype, preprocessor=preprocessor)
    return tuple(torch.from_numpy(array) for array in arrays.values())


def sample(model: LoadedModel, config: OnnxConfig, size: Size, preprocessor: Any = None) -> tuple[ExportWrapper, tuple[torch.Tensor, ...]]:
    """A model as a function of tensors, and tensors that it ran with, for a capture or trace.

    Raises ConversionError if the configuration is empty, or names inputs or outputs that the model lacks.
    """
    if not config.inputs or not config.outputs:
        raise ConversionError(f"{type(config).__name__} declares no {'outputs' if config.inputs else 'inputs'}", "declare them")
    check_inputs(model.module, tuple(config.inputs))
    check_mask(model.module, tuple(config.inputs))
    tensors = inputs_at(config, model.dtype, preprocessor, np.random.default_rng(0), size)
    wrapper = ExportWrapper(model.module, tuple(config.inputs), tuple(config.outputs), config.encoded_length)
    try:
        with torch.no_grad():
            wrapper(*tensors)
    except ConverterError:
        raise
    except Exception as error:  # the model's own code runs here and may raise anything
        raise ConversionError(
            f"{type(model.module).__name__} does not run with the inputs of {type(config).__name__}: {reason(error)}",
            "the checkpoint's config.json or the configuration is wrong; see with --debug where",
        ) from error
    return wrapper, tensors
