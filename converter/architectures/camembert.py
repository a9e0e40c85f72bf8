"""CamemBERT: RoBERTa's architecture, trained on French."""

from __future__ import annotations

from dataclasses import replace

from converter.architectures.roberta import ARCHITECTURE as ROBERTA

ARCHITECTURE = replace(ROBERTA, name="CamemBERT", model_type="camembert")
