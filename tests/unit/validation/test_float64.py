"""The checkpoint in float64 is float64 to the last bits, and the original model is unchanged."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from converter.validation.float64 import computing_in_float64, in_float64

_SMALL: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 60}
_DECODER = {**_SMALL, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": _DECODER,
    "gemma": _DECODER,
    "gemma3_text": {**_DECODER, "sliding_window": 8},
    "gpt_neo": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_layers": 2,
        "num_heads": 4,
        "vocab_size": 60,
        "max_position_embeddings": 64,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
    },
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 60, "decoder_start_token_id": 0},
}


def model_of(model_type: str) -> Any:
    """A random model, its weights large enough to matter, its matrices and embeddings tied if its architecture ties them."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(model_type, **CONFIGS[model_type])
    kind = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
    model = kind.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.2)
    return model


def logits(model: Any) -> torch.Tensor:
    ids = torch.arange(48).reshape(2, 24) % 53 + 3
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=ids, **({"decoder_input_ids": ids} if model.config.is_encoder_decoder else {})).logits
    return result


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, in parts of the largest value."""
    return float((one.double() - other.double()).abs().max() / other.abs().max())


def exact_logits(model: Any, attention: str) -> torch.Tensor:
    copy: Any = in_float64(model)
    copy.set_attn_implementation(attention)
    with computing_in_float64():
        return logits(copy)


@pytest.mark.parametrize("model_type", CONFIGS)
def test_two_ways_to_compute_attention_agree_in_float64(model_type: str) -> None:
    model = model_of(model_type)
    eager, sdpa = (exact_logits(model, attention) for attention in ("eager", "sdpa"))
    assert eager.dtype == sdpa.dtype == torch.float64
    assert apart(eager, sdpa) < 1e-12
    assert 1e-9 < apart(logits(model), eager) < 1e-4  # and float32 is float32


@pytest.mark.parametrize("model_type", CONFIGS)
def test_a_double_alone_is_not_float64(model_type: str) -> None:
    """So the mode is needed: these cast to float32 in their own code."""
    model = model_of(model_type)
    assert apart(logits(in_float64(model)), exact_logits(model, "eager")) > 1e-9


@pytest.mark.parametrize("model_type", CONFIGS)
def test_the_model_itself_stays_as_it_was(model_type: str) -> None:
    model = model_of(model_type)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    result = logits(model)
    exact_logits(model, "sdpa")
    after = model.state_dict()
    assert all(after[name].dtype == tensor.dtype and torch.equal(after[name], tensor) for name, tensor in before.items())
    assert torch.equal(logits(model), result)


@pytest.mark.parametrize("model_type", CONFIGS)
def test_every_floating_point_tensor_is_float64_with_the_same_values(model_type: str) -> None:
    model = model_of(model_type)
    copy = in_float64(model)
    tensors = [*copy.named_parameters(), *copy.named_buffers()]
    assert {tensor.dtype for _, tensor in tensors if tensor.is_floating_point()} == {torch.float64}
    names = dict((*model.named_parameters(), *model.named_buffers()))
    assert all(torch.equal(tensor, names[name].to(tensor.dtype)) for name, tensor in tensors)


def test_tied_weights_stay_tied() -> None:
    copy: Any = in_float64(model_of("t5"))
    assert copy.shared.weight is copy.encoder.embed_tokens.weight is copy.decoder.embed_tokens.weight


def test_a_buffer_that_is_also_an_attribute_is_one_tensor_still() -> None:
    class Holder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", torch.arange(3.0))
            self.kept = {"plain": 1}
            object.__setattr__(self, "original", self.table)

    copy: Any = in_float64(Holder())
    assert copy.original is copy.table and copy.table.dtype == torch.float64


@pytest.mark.parametrize(
    "asked",
    [
        lambda tensor: tensor.float(),
        lambda tensor: tensor.half(),
        lambda tensor: tensor.bfloat16(),
        lambda tensor: tensor.to(torch.float32),
        lambda tensor: tensor.to(dtype=torch.bfloat16),
        lambda tensor: tensor.type(torch.float32),
        lambda tensor: torch.softmax(tensor, dim=-1, dtype=torch.float32),
        lambda tensor: torch.nn.functional.softmax(tensor, -1, dtype=torch.float32),
        lambda tensor: torch.arange(3, dtype=torch.float32),
        lambda tensor: torch.zeros(3),
        lambda tensor: torch.tensor([0.5]),
        lambda tensor: tensor.new_zeros(3, dtype=torch.float32),
        lambda tensor: torch.ones_like(tensor, dtype=torch.float32),
        lambda tensor: torch.arange(3).float(),
    ],
)
def test_whatever_narrower_type_is_asked_for_becomes_float64(asked: Any) -> None:
    with computing_in_float64():
        assert asked(torch.ones(3, dtype=torch.float64)).dtype == torch.float64


def test_whole_numbers_and_booleans_stay_what_they_are() -> None:
    with computing_in_float64():
        assert torch.arange(3).dtype == torch.int64
        assert torch.ones(2).to(torch.int32).dtype == torch.int32
        assert torch.ones(2).bool().dtype == torch.bool


def test_the_default_type_is_back_even_after_an_error() -> None:
    with pytest.raises(ValueError, match="planned"), computing_in_float64():
        raise ValueError("planned")
    assert torch.get_default_dtype() == torch.float32
    assert torch.ones(1).float().dtype == torch.float32
