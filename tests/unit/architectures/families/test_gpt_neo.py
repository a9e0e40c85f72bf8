"""GPT Neo's masks are computed as its table has them; these notice when transformers uses the table otherwise."""

from __future__ import annotations

import pytest
import torch
import transformers

from converter.architectures.families.gpt_neo import patched

LENGTH = 16


@pytest.fixture
def model() -> transformers.GPTNeoModel:
    config = transformers.GPTNeoConfig(
        vocab_size=20,
        hidden_size=8,
        num_heads=2,
        num_layers=2,
        attention_types=[[["global", "local"], 1]],
        window_size=5,
        max_position_embeddings=LENGTH,
    )
    return transformers.GPTNeoModel(config).eval()


@pytest.mark.parametrize("layer", [0, 1])
def test_each_part_of_the_table_that_is_cut_out_is_computed_the_same(model: transformers.GPTNeoModel, layer: int) -> None:
    attention = model.h[layer].attn.attention
    table = attention.bias
    with patched(model):
        mask = attention.bias
        assert not isinstance(mask, torch.Tensor)
        for length in range(1, LENGTH + 1):
            for past in range(length):
                assert torch.equal(mask[:, :, past:length, :length], table[:, :, past:length, :length])


def test_the_model_computes_the_same_and_has_its_table_back_afterwards(model: transformers.GPTNeoModel) -> None:
    tokens = torch.arange(LENGTH)[None]
    before, state = dict(model.named_buffers()), set(model.state_dict())
    with torch.no_grad(), patched(model):
        states = model(tokens).last_hidden_state
        assert not any(name.endswith("attention.bias") for name, _ in model.named_buffers())
    with torch.no_grad():
        assert torch.equal(states, model(tokens).last_hidden_state)
    after = dict(model.named_buffers())
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert set(model.state_dict()) == state


def test_the_table_is_back_where_the_capture_fails(model: transformers.GPTNeoModel) -> None:
    with pytest.raises(KeyError), patched(model):
        raise KeyError
    assert all(isinstance(block.attn.attention.bias, torch.Tensor) for block in model.h)
