"""Rotary positions that depend on earlier texts are refused; all others are not."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import LlamaConfig

from converter.checkpoints.rotary import check_rotary
from converter.core.errors import NotSupportedError

_LENGTHS = {"factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 100.0}


def config(parameters: dict[str, Any]) -> LlamaConfig:
    return LlamaConfig(max_position_embeddings=256, rope_parameters=parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {"rope_type": "default", "rope_theta": 100.0},
        {"rope_type": "linear", "factor": 2.0, "rope_theta": 100.0},
        {"rope_type": "yarn", **_LENGTHS},
        {"rope_type": "llama3", **_LENGTHS, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
        {"rope_type": "dynamic", "factor": 1.0, "alpha": 1000.0, "rope_theta": 100.0},
    ],
)
def test_positions_that_depend_on_the_text_alone_are_taken(parameters: dict[str, Any]) -> None:
    check_rotary(config(parameters))


@pytest.mark.parametrize("nested", [False, True])
def test_dynamic_positions_are_refused_with_what_is_the_same(nested: bool) -> None:
    dynamic = config({"rope_type": "dynamic", "factor": 4.0, "rope_theta": 100.0})
    if nested:
        dynamic.rope_parameters = {"full_attention": dynamic.rope_parameters}
    with pytest.raises(NotSupportedError, match="its positions depend on the texts that it has read before") as caught:
        check_rotary(dynamic)
    assert caught.value.hint == 'set "rope_type": "default" in its config.json, which is the same for texts of at most 256 tokens'
