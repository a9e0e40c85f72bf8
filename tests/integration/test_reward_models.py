"""Decoder classifiers whose config.json names no padding token: each text scores as in PyTorch, alone and padded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import transformers
from onnx import helper, numpy_helper
from tokenizers import pre_tokenizers
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Qwen2Tokenizer

from converter.core.records import Outcome

Convert = Callable[..., Outcome]

TEXTS = ["the dog was good", "the dog was good !", "the cat sat on the mat", "!"]
""""!" is token 0, as in the vocabularies of Qwen, Llama 3 and GPT-2."""
_TINY = {"vocab_size": 257, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_labels": 1, "initializer_range": 0.3}
MODELS = {
    "qwen2": ("Qwen2", {**_TINY, "num_key_value_heads": 1, "intermediate_size": 48, "max_position_embeddings": 64}),
    "gpt2": ("GPT2", {**_TINY, "n_positions": 64, "bos_token_id": 256, "eos_token_id": 256}),
    "gpt_neo": ("GPTNeo", {**_TINY, "attention_types": [[["global"], 1]], "max_position_embeddings": 64, "intermediate_size": 48}),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    vocabulary = {letter: number for number, letter in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet()), "<end>"])}
    tokenizer: Any = Qwen2Tokenizer(
        vocab=vocabulary, merges=[], unk_token="<end>", pad_token="<end>", eos_token="<end>", model_max_length=64
    )

    def make(name: str, **settings: Any) -> Path:
        torch.manual_seed(0)
        prefix, values = MODELS[name]
        path = folder / "-".join((name, *(f"{setting}={value}" for setting, value in settings.items())))
        config = getattr(transformers, f"{prefix}Config")(**{**values, **settings})
        getattr(transformers, f"{prefix}ForSequenceClassification")(config).save_pretrained(path)
        tokenizer.save_pretrained(path)
        return path

    return make


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.canary if name == "qwen2" else ()) for name in MODELS])
def test_a_reward_model_scores_each_text_as_pytorch_does(name: str, checkpoints: Callable[..., Path], convert: Convert) -> None:
    checkpoint = checkpoints(name)
    outcome = convert(checkpoint)
    assert outcome.artifact, outcome.failure
    assert outcome.verdict
    assert "config.json has no pad_token_id: the artifact finds the last token of each text by attention_mask" in outcome.verdict.notes
    session = ort.InferenceSession(Path(outcome.destination) / "model.onnx")
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)

    def scores(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        inputs = {node.name: batch[node.name] for node in session.get_inputs()}
        with torch.no_grad():
            expected = model(**inputs).logits.numpy()
        return session.run(["logits"], {key: value.numpy() for key, value in inputs.items()})[0], expected

    alone = [scores([text]) for text in TEXTS]
    for logits, expected in alone:
        np.testing.assert_allclose(logits, expected, atol=1e-4)
    model.config.pad_token_id = tokenizer.pad_token_id  # PyTorch takes no batch without one
    logits, expected = scores(TEXTS)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_allclose(logits, np.concatenate([expected for _, expected in alone]), atol=1e-4)


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_a_traced_reward_model_scores_each_text_as_pytorch_does(checkpoints: Callable[..., Path], convert: Convert) -> None:
    checkpoint = checkpoints("qwen2", hidden_size=16)
    outcome = convert(checkpoint, backend="torchscript")
    assert outcome.artifact, outcome.failure
    traced = torch.jit.load(Path(outcome.destination) / "model.pt")
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    batch = AutoTokenizer.from_pretrained(checkpoint)(TEXTS, padding=True, return_tensors="pt")
    (logits,) = traced(batch["input_ids"], batch["attention_mask"])
    for row, (ids, mask) in enumerate(zip(batch["input_ids"], batch["attention_mask"], strict=True)):
        with torch.no_grad():
            expected = model(input_ids=ids[mask.bool()][None]).logits
        torch.testing.assert_close(logits[row : row + 1], expected, atol=1e-4, rtol=1e-4)


def test_an_artifact_that_takes_an_ordinary_token_for_padding_is_found(
    checkpoints: Callable[..., Path], convert: Convert, command: Callable[..., Any], tmp_path: Path
) -> None:
    checkpoint = checkpoints("qwen2", max_position_embeddings=32)
    outcome = convert(checkpoint)
    planted = shutil.copytree(outcome.destination, tmp_path / "planted")
    (planted / "converter.json").unlink()
    model = onnx.load(planted / "model.onnx")
    _pool_by_token(model.graph, 0)
    onnx.save(model, planted / "model.onnx")
    result = command("validate", planted, "--reference", checkpoint, "--feature", "sequence-classification")
    assert result.returncode == 1
    assert "logits" in result.stderr


@pytest.mark.parametrize("token", [3, -1])
def test_a_tokenizer_and_a_config_that_disagree_on_padding_are_told(token: int, checkpoints: Callable[..., Path], convert: Convert) -> None:
    outcome = convert(checkpoints("qwen2", pad_token_id=token))
    assert outcome.verdict and outcome.verdict.passed
    (note,) = [note for note in outcome.verdict.notes if "pad_token_id" in note]
    assert f"config.json has pad_token_id {token} and the tokenizer pads with 256" in note
    assert "set pad_token_id in config.json to 256" in note


def _pool_by_token(graph: onnx.GraphProto, token: int) -> None:
    """Have the last token be found as the last that is not `token`, in place of by the mask."""
    producers = {name: node for node in graph.node for name in node.output}
    (last,) = [node for node in graph.node if node.op_type == "ArgMax"]
    waiting = [last.input[0]]
    while waiting:  # up from the position to the comparison with the mask
        node = producers.get(waiting.pop())
        if node is None:
            continue
        if node.op_type == "Equal" and node.input[0] == "attention_mask":
            graph.initializer.append(numpy_helper.from_array(np.array(token), "planted"))
            node.input[0], node.input[1] = "input_ids", "planted"
            return
        waiting += node.input
    raise AssertionError([helper.printable_node(node) for node in graph.node][-20:])
