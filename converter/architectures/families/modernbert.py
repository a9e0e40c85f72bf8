"""ModernBERT, as `generic` describes it, captured with the attention that transformers chooses for it.

A position that is padded on all sides sees no token within its window, and the two kinds of attention give it different numbers.
"""

from __future__ import annotations

from converter.architectures.architecture import Architecture
from converter.architectures.generic import GenericOnnxConfig, generic_features


class ModernBertOnnxConfig(GenericOnnxConfig):
    attn_implementation = "sdpa"


ARCHITECTURE = Architecture(
    name="ModernBERT", model_type="modernbert", features=generic_features("modernbert"), onnx_config=ModernBertOnnxConfig
)
