"""A model changed by its own calls is refused, and so are positions that depend on earlier texts; the suggested settings are right."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers

from converter.core.records import Outcome

_LENGTHS = {"factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 100.0}


def save(folder: Path, model: Any) -> Path:
    """Save a random model whose weights are large enough to matter."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.1)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def big_bird(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BigBird with sparse attention for texts of more than 176 tokens."""
    sizes = {"vocab_size": 120, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 1024, "block_size": 16}
    return save(tmp_path_factory.mktemp("big_bird"), transformers.BigBirdForMaskedLM(transformers.BigBirdConfig(**sizes, **tokens)))


def test_sparse_attention_that_a_short_text_turns_off_is_refused_with_what_to_do(big_bird: Path, convert: Callable[..., Outcome]) -> None:
    outcome = convert(big_bird, feature="masked-lm")
    assert outcome.failure is not None
    assert "a call changes the checkpoint itself" in outcome.failure.message
    assert "bert.attention_type was 'block_sparse' and is 'original_full'" in outcome.failure.message
    assert 'set "attention_type": "original_full" in config.json' in outcome.failure.message


def test_full_attention_of_the_same_checkpoint_is_right_at_every_length(
    big_bird: Path, convert: Callable[..., Outcome], tmp_path: Path
) -> None:
    full = shutil.copytree(big_bird, tmp_path / "full")
    config = json.loads((full / "config.json").read_text(encoding="utf-8"))
    (full / "config.json").write_text(json.dumps({**config, "attention_type": "original_full"}), encoding="utf-8")
    outcome = convert(full, feature="masked-lm")
    assert outcome.failure is None, outcome.failure
    session = onnxruntime.InferenceSession(tmp_path / "artifact" / "model.onnx")
    for length in (128, 240, 512, 1024):
        assert off(session, transformers.BigBirdForMaskedLM.from_pretrained(full), length) < 1e-5


def off(session: onnxruntime.InferenceSession, fresh: Any, length: int) -> float:
    """How far an artifact is off a model that has read nothing before."""
    ids = np.random.default_rng(0).integers(40, 119, (2, length))
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    feed = {node.name: feed[node.name] for node in session.get_inputs()}
    with torch.no_grad():
        expected = fresh.eval()(**{name: torch.from_numpy(array) for name, array in feed.items()}).logits.numpy()
    return float(np.abs(session.run(["logits"], feed)[0] - expected).max())


def rotary(kind: str) -> Any:
    sizes = {"vocab_size": 120, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokens = {"num_key_value_heads": 2, "max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    if kind == "longrope":
        factors = {"short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [2.0, 4.0, 8.0, 16.0]}
        positions = {"rope_type": kind, "original_max_position_embeddings": 64, "rope_theta": 100.0, **factors}
        return transformers.Phi3ForCausalLM(transformers.Phi3Config(**sizes, **tokens, rope_parameters=positions))
    positions = {"rope_type": kind, **_LENGTHS}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, **tokens, rope_parameters=positions))


@pytest.mark.parametrize("kind", ["longrope", "yarn"])
def test_positions_that_switch_by_the_text_are_right_on_both_sides(kind: str, convert: Callable[..., Outcome], tmp_path: Path) -> None:
    checkpoint = save(tmp_path / "checkpoint", rotary(kind))
    outcome = convert(checkpoint, feature="causal-lm")
    assert outcome.failure is None, outcome.failure
    session = onnxruntime.InferenceSession(tmp_path / "artifact" / "model.onnx")
    for length in (16, 64, 65, 300):
        assert off(session, transformers.AutoModelForCausalLM.from_pretrained(checkpoint), length) < 1e-5


@pytest.mark.parametrize("backend", ["onnx", "torchscript"])
def test_positions_that_follow_earlier_texts_are_refused(backend: str, convert: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = convert(save(tmp_path / "checkpoint", rotary("dynamic")), backend=backend, feature="causal-lm")
    assert outcome.failure is not None and outcome.failure.kind == "NotSupportedError"
    assert outcome.failure.hint == 'set "rope_type": "default" in its config.json, which is the same for texts of at most 256 tokens'
