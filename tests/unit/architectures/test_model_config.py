"""Settings of a model's own configuration, read and for a while overridden."""

from __future__ import annotations

import pytest
import transformers

from converter.architectures.model_config import overridden
from tests.support.checkpoints import TINY_CONFIGS


def test_a_configuration_that_was_overridden_is_as_before_even_after_an_error() -> None:
    config = transformers.AutoConfig.for_model("gpt2", **TINY_CONFIGS["gpt2"])
    with pytest.raises(RuntimeError), overridden(config, {"use_cache": False, "pad_token_id": 7, "never_seen": 1}):
        assert (config.use_cache, config.pad_token_id, config.never_seen) == (False, 7, 1)
        raise RuntimeError
    assert (config.use_cache, config.pad_token_id, hasattr(config, "never_seen")) == (True, None, False)
