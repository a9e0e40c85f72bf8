"""Noise on the weights of a checkpoint: as little as rounding, the same each time, and gone afterwards."""

from __future__ import annotations

import torch
import transformers

from converter.validation.conditioning import NoisyWeights
from tests.support.checkpoints import TINY_CONFIGS


def model() -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**TINY_CONFIGS["gpt2"])).eval()


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters(remove_duplicate=False)}


def test_a_matrix_is_off_by_half_a_step_of_its_row_at_most_and_nothing_else_is() -> None:
    module = model()
    before = weights(module)
    with NoisyWeights(module, 1).applied():
        during = weights(module)
    for name, tensor in before.items():
        if tensor.ndim < 2:
            assert torch.equal(tensor, during[name])
            continue
        step = tensor.abs().amax(dim=1, keepdim=True) / 127
        off = (during[name] - tensor).abs()
        assert bool((off <= step / 2 + 1e-7).all()) and float(off.max()) > float(step.min()) / 4, name
    assert torch.equal(during["lm_head.weight"], during["transformer.wte.weight"])


def test_the_model_is_what_it_was_afterwards_and_the_noise_the_same_each_time() -> None:
    module = model()
    before, places = weights(module), [parameter.data_ptr() for parameter in module.parameters()]
    noisy = []
    for _ in range(2):
        with NoisyWeights(module, 1).applied():
            noisy.append(weights(module))
    assert all(torch.equal(first, second) for first, second in zip(noisy[0].values(), noisy[1].values(), strict=True))
    assert all(torch.equal(first, second) for first, second in zip(before.values(), weights(module).values(), strict=True))
    assert [parameter.data_ptr() for parameter in module.parameters()] == places
