"""LeViT's biases are computed from its weights during a capture, and its layers are unchanged afterwards."""

from __future__ import annotations

from pathlib import Path

import torch

from converter.architectures import find_architecture
from converter.architectures.families.levit import patched
from converter.checkpoints.loading import load_model
from tests.coverage.tiny import save_tiny


def test_the_numbers_are_the_same_and_follow_the_weights(tmp_path: Path) -> None:
    save_tiny(tmp_path / "checkpoint", "levit", "AutoModel")
    model = load_model(tmp_path / "checkpoint", "AutoModel", "float32").module
    config = find_architecture("levit").configure(model.config, "default")
    size = config.fixed_dims("pixel_values")[2]
    image = torch.randn(2, 3, size, size)
    with torch.no_grad():
        before = model(image).last_hidden_state
        layer = next(module for module in model.modules() if hasattr(module, "attention_biases"))
        with patched(model):
            assert torch.equal(model(image).last_hidden_state, before)
            biases = layer.get_attention_biases(image.device)
            layer.attention_biases += 1.0
            assert torch.equal(layer.get_attention_biases(image.device), biases + 1.0)
    assert "get_attention_biases" not in vars(layer)
