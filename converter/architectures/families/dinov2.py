"""DINOv2: images of any size; its processor crops to 224 pixels, while config.json says 518."""

from __future__ import annotations

from converter.architectures.architecture import Architecture
from converter.architectures.generic import GenericOnnxConfig, generic_features


class Dinov2OnnxConfig(GenericOnnxConfig):
    any_image_size = True


ARCHITECTURE = Architecture(name="DINOv2", model_type="dinov2", features=generic_features("dinov2"), onnx_config=Dinov2OnnxConfig)
