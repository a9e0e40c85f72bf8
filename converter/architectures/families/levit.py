"""LeViT: attention with biases that each layer computes once from its weights and keeps, which a graph would take for constants.

Relied on in transformers.models.levit.modeling_levit: `get_attention_biases` of its attentions, which gives `attention_biases` at
`attention_bias_idxs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from converter.architectures.architecture import Architecture
from converter.architectures.generic import GenericOnnxConfig, generic_features

if TYPE_CHECKING:
    import torch


class LevitOnnxConfig(GenericOnnxConfig):
    def patch(self, model: torch.nn.Module) -> AbstractContextManager[None]:
        return patched(model)


@contextmanager
def patched(model: torch.nn.Module) -> Iterator[None]:
    """Within it each layer of `model` computes its biases whenever it needs them."""
    modules: list[Any] = [module for module in model.modules() if hasattr(module, "get_attention_biases")]
    for module in modules:
        module.get_attention_biases = partial(_biases, module)
    try:
        yield
    finally:
        for module in modules:
            del module.get_attention_biases


def _biases(module: Any, _: torch.device) -> torch.Tensor:
    biases: torch.Tensor = module.attention_biases[:, module.attention_bias_idxs]
    return biases


ARCHITECTURE = Architecture(name="LeViT", model_type="levit", features=generic_features("levit"), onnx_config=LevitOnnxConfig)
