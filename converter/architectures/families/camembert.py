"""CamemBERT: RoBERTa's architecture, trained on French."""

from __future__ import annotations

from dataclasses import replace

from converter.architectures.families.roberta import ARCHITECTURE as ROBERTA
from converter.architectures.families.roberta import RobertaOnnxConfig


class CamembertOnnxConfig(RobertaOnnxConfig):
    pass


ARCHITECTURE = replace(ROBERTA, name="CamemBERT", model_type="camembert", onnx_config=CamembertOnnxConfig)
