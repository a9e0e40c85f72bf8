"""What optimum, sentence-transformers and onnxruntime-genai give with an artifact beside what PyTorch gives with its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.clients.answering import Client
from tests.clients.models import DECODERS, PRECISIONS, TRANSLATORS
from tests.clients.pytorch import SENTENCES, STEPS, TEXTS, embed, encode, greedy, load, lost

pytestmark = pytest.mark.client

PYTHON = Path(__file__).parents[2] / "build" / "clients" / "python" / "bin" / "python"
PROGRAM = Path(__file__).with_name("python_clients.py")

Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def ask(models: Path) -> Iterator[Ask]:
    """Runs a client, in its environment, on an input with the model in a folder."""
    client = Client([PYTHON, PROGRAM])
    yield lambda folder, *asked: client.ask(str(models / folder), *asked)
    client.close()


def test_sentence_transformers_gives_the_embeddings_that_pytorch_gives(ask: Ask, checkpoints: Path) -> None:
    np.testing.assert_allclose(ask("minilm", "embed", TEXTS), embed(checkpoints / "minilm", TEXTS), atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS["minilm"][1:])
def test_sentence_transformers_loses_no_more_in_a_precision_than_its_record_says(
    precision: str, ask: Ask, models: Path, checkpoints: Path
) -> None:
    embeddings = np.array(ask("minilm", "embed", TEXTS, precision))
    cosines = (embeddings * embed(checkpoints / "minilm", TEXTS).numpy()).sum(axis=1) / np.linalg.norm(embeddings, axis=1)
    assert lost(models / "minilm", precision)["cosine_min"] - 0.01 <= cosines.min() < 1 - 1e-8


@pytest.mark.parametrize("precision", PRECISIONS["llama"][1:])
@pytest.mark.parametrize("what", ["continued", "continued by genai"])
def test_optimum_and_onnxruntime_genai_continue_a_text_in_a_precision(precision: str, what: str, ask: Ask, checkpoints: Path) -> None:
    model, tokenizer = load(checkpoints / "llama", "AutoModelForCausalLM")
    encoded = tokenizer(SENTENCES[0], return_tensors="pt", return_token_type_ids=False)
    inputs = {key: tensor.tolist() for key, tensor in encoded.items()}
    tokens, expected = np.array(ask("llama", what, {**inputs, "steps": STEPS}, precision)), np.array(greedy(model, STEPS, **encoded))
    assert tokens.shape == expected.shape
    if precision == "fp16":
        assert (tokens == expected).all()


def test_optimum_gives_the_features_that_pytorch_gives(ask: Ask, checkpoints: Path) -> None:
    model, tokenizer = load(checkpoints / "minilm", "AutoModel")
    encoded = tokenizer(["Soup.", "Good soup needs time."], padding=True, return_tensors="pt")
    states = np.array(ask("minilm", "features", {name: tensor.tolist() for name, tensor in encoded.items()}))
    with torch.inference_mode():
        expected = model(**encoded).last_hidden_state
    kept = encoded["attention_mask"].bool()
    np.testing.assert_allclose(states[kept], expected[kept], atol=1e-5)


@pytest.mark.parametrize("name", DECODERS)
def test_optimum_continues_a_padded_batch_of_texts_by_the_same_tokens(name: str, ask: Ask, checkpoints: Path) -> None:
    model, tokenizer = load(checkpoints / name, "AutoModelForCausalLM")
    encoded = encode(tokenizer)
    inputs = {key: tensor.tolist() for key, tensor in encoded.items()}
    assert ask(name, "continued", {**inputs, "steps": STEPS}) == greedy(model, STEPS, **encoded)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_optimum_translates_a_padded_batch_of_texts_to_the_same_tokens(name: str, ask: Ask, checkpoints: Path) -> None:
    model, tokenizer = load(checkpoints / name, "AutoModelForSeq2SeqLM")
    encoded = encode(tokenizer)
    inputs = {key: tensor.tolist() for key, tensor in encoded.items()}
    assert ask(name, "translated", {**inputs, "steps": STEPS}) == greedy(model, STEPS, **encoded)


@pytest.mark.parametrize("name", DECODERS)
def test_onnxruntime_genai_continues_a_text_by_the_same_tokens(name: str, ask: Ask, checkpoints: Path) -> None:
    model, tokenizer = load(checkpoints / name, "AutoModelForCausalLM")
    encoded = tokenizer(SENTENCES[0], return_tensors="pt", return_token_type_ids=False)
    inputs = {"input_ids": encoded["input_ids"].tolist(), "steps": STEPS}
    assert ask(name, "continued by genai", inputs) == greedy(model, STEPS, **encoded)
