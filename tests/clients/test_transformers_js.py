"""What transformers.js gives with an artifact, on Node, beside what PyTorch gives with its checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.clients.answering import Client
from tests.clients.models import DECODERS, EXTERNAL, PRECISIONS, TRANSLATORS
from tests.clients.pytorch import SENTENCES, STEPS, TEXTS, embed, encode, greedy, load, lost

pytestmark = pytest.mark.client

NODE = Path(__file__).parents[2] / "build" / "clients" / "node"
BEGIN = 1
"""The token that a transcript begins with."""

Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def ask(models: Path) -> Iterator[Ask]:
    """Runs a task of transformers.js on an input, with the model in a folder."""
    for name in ("transformers_js.mjs", "tasks.mjs"):  # Node searches for packages from the program's folder
        shutil.copy(Path(__file__).with_name(name), NODE)
    client = Client(["node", NODE / "transformers_js.mjs", f"{models}/"])
    yield client.ask
    client.close()


def test_sentences_have_the_embeddings_that_pytorch_gives_them(ask: Ask, checkpoints: Path) -> None:
    np.testing.assert_allclose(ask("minilm", "feature-extraction", TEXTS), embed(checkpoints / "minilm", TEXTS), atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS["minilm"][1:])
def test_a_precision_is_found_by_its_name_and_loses_no_more_than_its_record_says(
    precision: str, ask: Ask, models: Path, checkpoints: Path
) -> None:
    embeddings = np.array(ask("minilm", "feature-extraction", TEXTS, precision))
    cosines = (embeddings * embed(checkpoints / "minilm", TEXTS).numpy()).sum(axis=1)
    assert cosines.min() >= lost(models / "minilm", precision)["cosine_min"] - 0.01
    assert cosines.min() < 1 - 1e-8  # it is another file than float32's


@pytest.mark.parametrize(("name", "files"), [("tagger", ["model.onnx"]), ("bart", ["decoder_model_merged.onnx", "encoder_model.onnx"])])
def test_tensors_beside_the_file_are_announced_to_it(name: str, files: list[str], models: Path) -> None:
    """That they are found is for the tests of these models to say."""
    settings = json.loads((models / name / "config.json").read_bytes())["transformers.js_config"]
    assert name in EXTERNAL
    assert settings == {"use_external_data_format": dict.fromkeys(files, 1)}
    assert all((models / name / "onnx" / f"{file}_data").is_file() for file in files)


@pytest.mark.parametrize("precision", PRECISIONS["llama"][1:])
def test_a_text_is_continued_in_a_precision(precision: str, ask: Ask, checkpoints: Path) -> None:
    model, tokenizer = load(checkpoints / "llama", "AutoModelForCausalLM")
    tokens = np.array(ask("llama", "text-generation", {"texts": SENTENCES, "steps": STEPS}, precision))
    expected = np.array(greedy(model, STEPS, **encode(tokenizer)))
    assert tokens.shape == expected.shape
    if precision == "fp16":
        assert (tokens == expected).all()


@pytest.mark.parametrize("precision", PRECISIONS["t5"][1:])
def test_a_text_is_translated_in_a_precision(precision: str, ask: Ask, models: Path, checkpoints: Path) -> None:
    model, tokenizer = load(checkpoints / "t5", "AutoModelForSeq2SeqLM")
    tokens = np.array(ask("t5", "text2text-generation", {"texts": SENTENCES, "steps": STEPS}, precision))
    expected = np.array(greedy(model, STEPS, **encode(tokenizer)))
    assert tokens.shape == expected.shape
    if precision == "fp16" or lost(models / "t5", precision)["agreement"] == 1:
        assert (tokens == expected).all()


def test_a_text_is_classified(ask: Ask, checkpoints: Path) -> None:
    model, tokenizer = load(checkpoints / "classifier", "AutoModelForSequenceClassification")
    for text, labels in zip(SENTENCES, ask("classifier", "text-classification", SENTENCES), strict=True):
        with torch.inference_mode():
            expected = model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0]
        scores = {label["label"]: label["score"] for label in labels}
        assert max(scores, key=scores.__getitem__) == model.config.id2label[int(expected.argmax())]
        np.testing.assert_allclose([scores[label] for label in model.config.id2label.values()], expected, atol=1e-5)


def test_each_token_is_classified(ask: Ask, checkpoints: Path) -> None:
    model, tokenizer = load(checkpoints / "tagger", "AutoModelForTokenClassification")
    labels = ask("tagger", "token-classification", SENTENCES[0])
    with torch.inference_mode():
        expected = model(**tokenizer(SENTENCES[0], return_tensors="pt")).logits.softmax(-1)[0, 1:-1]
    assert [token["entity"] for token in labels] == [model.config.id2label[int(label)] for label in expected.argmax(-1)]
    np.testing.assert_allclose([token["score"] for token in labels], expected.max(-1).values, atol=1e-5)


def test_a_question_is_answered(ask: Ask, checkpoints: Path) -> None:
    model, tokenizer = load(checkpoints / "reader", "AutoModelForQuestionAnswering")
    question, context = "was a runtime ?", "using a runtime with a runtime !"
    reply = ask("reader", "question-answering", {"question": question, "context": context})
    encoded = tokenizer(question, context, return_tensors="pt")
    with torch.inference_mode():
        result = model(**encoded)
    first = encoded["input_ids"][0].tolist().index(3) + 1  # after the separator
    start, end = (logits[0, first:-1].softmax(-1) for logits in (result.start_logits, result.end_logits))
    both = torch.triu(start[:, None] * end[None, :])
    at, to = divmod(int(both.argmax()), both.shape[1])
    answer = tokenizer.decode(encoded["input_ids"][0, first + at : first + to + 1])
    assert reply["answer"].split() == answer.replace(" !", "!").split()  # it sets no space before a mark


@pytest.mark.parametrize("name", DECODERS)
def test_a_padded_batch_of_texts_is_continued_by_the_same_tokens(name: str, ask: Ask, checkpoints: Path) -> None:
    model, tokenizer = load(checkpoints / name, "AutoModelForCausalLM")
    assert ask(name, "text-generation", {"texts": SENTENCES, "steps": STEPS}) == greedy(model, STEPS, **encode(tokenizer))


@pytest.mark.parametrize("name", TRANSLATORS)
def test_a_padded_batch_of_texts_is_translated_to_the_same_tokens(name: str, ask: Ask, checkpoints: Path) -> None:
    model, tokenizer = load(checkpoints / name, "AutoModelForSeq2SeqLM")
    assert ask(name, "text2text-generation", {"texts": SENTENCES, "steps": STEPS}) == greedy(model, STEPS, **encode(tokenizer))


def test_a_sound_is_transcribed_to_the_same_tokens(ask: Ask, checkpoints: Path) -> None:
    model = transformers.AutoModelForSpeechSeq2Seq.from_pretrained(checkpoints / "whisper").eval()
    frames = 2 * model.config.max_source_positions
    features = torch.from_numpy(np.random.default_rng(7).standard_normal((2, model.config.num_mel_bins, frames)).astype(np.float32))
    tokens = ask("whisper", "automatic-speech-recognition", {"features": features.tolist(), "begin": BEGIN, "steps": STEPS})
    begin = torch.full((2, 1), BEGIN)
    assert tokens == greedy(model, STEPS, input_features=features, decoder_input_ids=begin)
