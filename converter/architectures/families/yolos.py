"""YOLOS: images of any size, as its processor keeps their sides' ratio."""

from __future__ import annotations

from converter.architectures.architecture import Architecture
from converter.architectures.generic import GenericOnnxConfig, generic_features


class YolosOnnxConfig(GenericOnnxConfig):
    any_image_size = True


ARCHITECTURE = Architecture(name="YOLOS", model_type="yolos", features=generic_features("yolos"), onnx_config=YolosOnnxConfig)
