"""The name of the cache, by version of transformers and by who wrote the model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version
from transformers import DynamicCache, GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPast

from converter.architectures.cache_names import CACHE_NAMES, cache_argument, cache_of

OF_THIS_VERSION = "cache" if Version(transformers.__version__) >= Version("5.24") else "past_key_values"


@pytest.mark.parametrize(
    "function",
    [
        transformers.LlamaModel.forward,
        transformers.GPT2LMHeadModel.forward,
        transformers.T5ForConditionalGeneration.forward,
        transformers.WhisperForConditionalGeneration.forward,
        GenerationMixin.prepare_inputs_for_generation,
    ],
)
def test_transformers_names_the_cache_as_its_version_does(function: Any) -> None:
    assert cache_argument(function) == OF_THIS_VERSION


def test_code_that_a_checkpoint_brings_keeps_the_name_it_was_written_with() -> None:
    def old(input_ids: Any, past_key_values: Any = None) -> None: ...

    def new(input_ids: Any, cache: Any = None) -> None: ...

    def with_another_cache(input_ids: Any, past_key_values: Any = None, cache: Any = None) -> None: ...

    names = [cache_argument(function) for function in (old, new, with_another_cache)]
    assert names == ["past_key_values", "cache", "past_key_values"]


@pytest.mark.parametrize("name", CACHE_NAMES)
def test_a_cache_is_found_in_a_result_of_either_name(name: str) -> None:
    cache = DynamicCache()
    assert cache_of({"logits": None, name: cache}) is cache
    assert cache_of({"logits": None}) is None


def test_a_result_of_transformers_gives_its_cache() -> None:
    cache = DynamicCache()
    output = BaseModelOutputWithPast(last_hidden_state=torch.zeros(1, 1, 1), **{OF_THIS_VERSION: cache})
    assert cache_of(output) is cache
    assert cache_of(BaseModelOutputWithPast(last_hidden_state=torch.zeros(1, 1, 1))) is None
