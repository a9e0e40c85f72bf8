"""What PyTorch gives with a checkpoint: the measure of every client."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.clients.models import OURS
from tests.support.by_hand import CACHE

SENTENCES = ["using a runtime with a runtime", "was a runtime !", "a ?"]
"""Of the words that the tests' tokenizer has, and of three lengths, so that a batch is padded."""
TEXTS = ["The ferry leaves at seven.", "In 1987 it made 12,450 bicycles; now none. Où est la clé ?", "Soup."]
STEPS = 12


def lost(model: Path, precision: str) -> dict[str, Any]:
    """The accuracy drop of a precision in an artifact's record."""
    record = json.loads((model / "onnx" / "converter.json").read_text(encoding="utf-8"))
    (loss,) = (variant["accuracy_drop"] for variant in record["verdict"]["variants"] if variant["name"] == OURS.get(precision, precision))
    return dict(loss)


def load(checkpoint: Path, auto_class: str) -> tuple[Any, Any]:
    """A model, and its tokenizer."""
    model = getattr(transformers, auto_class).from_pretrained(checkpoint, dtype=torch.float32).eval()
    return model, transformers.AutoTokenizer.from_pretrained(checkpoint)


def encode(tokenizer: Any, texts: Sequence[str] = SENTENCES) -> Any:
    """A batch of texts, padded on the left."""
    tokenizer.padding_side = "left"
    encoded = tokenizer(list(texts), padding=True, return_tensors="pt", return_token_type_ids=False)
    assert not encoded["attention_mask"].all()
    return encoded


def embed(checkpoint: Path, texts: Sequence[str]) -> torch.Tensor:
    """The mean of the tokens' states of each text, of length 1."""
    model, tokenizer = load(checkpoint, "AutoModel")
    encoded = tokenizer(list(texts), padding=True, return_tensors="pt")
    with torch.inference_mode():
        states, mask = model(**encoded).last_hidden_state, encoded["attention_mask"][..., None]
    return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1))


def greedy(model: Any, steps: int, **inputs: Any) -> list[list[int]]:
    """The tokens of greedy generation, `steps` of them whatever they are."""
    if model.config.is_encoder_decoder:  # generate makes a cache with as many layers as the encoder, even if the decoder has more
        inputs[CACHE] = transformers.EncoderDecoderCache(transformers.DynamicCache(), transformers.DynamicCache())
    sequences = transformers.GenerationMixin.generate(
        model, **inputs, max_new_tokens=steps, min_new_tokens=steps, do_sample=False, num_beams=1, use_cache=True
    )
    tokens: list[list[int]] = sequences.tolist()
    return tokens
