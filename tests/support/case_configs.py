"""Configurations of models of each kind, and the cases that validation makes for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import transformers

from converter.architectures import GenericOnnxConfig, OnnxConfig, find_architecture
from converter.validation.case_inputs import InputGenerator, Inputs
from tests.coverage.tiny import tiny_config
from tests.support.checkpoints import TINY_CONFIGS


def documented(model_type: str, feature: str, **changes: Any) -> OnnxConfig:
    config = transformers.AutoConfig.for_model(model_type, **TINY_CONFIGS[model_type] | changes)
    return find_architecture(model_type).configure(config, feature)


def generic(model_type: str, task: str, use_past: bool = False, **changes: Any) -> OnnxConfig:
    config = tiny_config(model_type)
    for name, value in changes.items():
        setattr(config, name, value)
    return GenericOnnxConfig(config, task=task, use_past=use_past)


CONFIGS = {
    "bert": lambda: documented("bert", "masked-lm", bos_token_id=7, eos_token_id=8, pad_token_id=0),
    "gpt2 with past": lambda: documented("gpt2", "causal-lm-with-past"),
    "t5 with past": lambda: documented("t5", "seq2seq-lm-with-past", eos_token_id=1, pad_token_id=0),
    "mistral with past": lambda: generic(
        "mistral", "causal-lm", True, sliding_window=600, max_position_embeddings=1000, bos_token_id=1, eos_token_id=[2, 5]
    ),
    "vit": lambda: generic("vit", "image-classification"),
    "resnet": lambda: generic("resnet", "image-classification"),
    "wav2vec2": lambda: generic("wav2vec2", "automatic-speech-recognition"),
    "whisper": lambda: generic("whisper", "automatic-speech-recognition", True),
}


def generator_of(kind: str, parameters: int = 10**5, tokenizer: Any = None) -> InputGenerator:
    return InputGenerator(CONFIGS[kind](), "float32", tokenizer, np.random.default_rng(0), (), parameters)


def cases_of(kind: str, parameters: int = 10**5) -> dict[str, Inputs]:
    generator = generator_of(kind, parameters)
    cases = [*generator.grid(), generator.longest_case()]
    assert len({case.name for case in cases}) == len(cases)
    return {case.name: case for case in cases}
