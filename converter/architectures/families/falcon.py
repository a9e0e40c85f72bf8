"""Falcon, as `generic` describes it, captured with the attention that transformers chooses for it.

transformers' eager attention adds ALiBi twice, as a part of the mask and by itself.
"""

from __future__ import annotations

from converter.architectures.architecture import Architecture
from converter.architectures.generic import GenericOnnxConfig, generic_features


class FalconOnnxConfig(GenericOnnxConfig):
    attn_implementation = "sdpa"


ARCHITECTURE = Architecture(name="Falcon", model_type="falcon", features=generic_features("falcon"), onnx_config=FalconOnnxConfig)
