"""mBART: BART with layer norms before each block, trained on many languages."""

from __future__ import annotations

from dataclasses import replace

from converter.architectures.families.bart import ARCHITECTURE as BART
from converter.architectures.families.bart import BartOnnxConfig


class MBartOnnxConfig(BartOnnxConfig):
    pass


ARCHITECTURE = replace(BART, name="mBART", model_type="mbart", onnx_config=MBartOnnxConfig)
