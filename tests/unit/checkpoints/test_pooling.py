"""Classifiers of checkpoints that name no padding token, held against transformers on each text alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from transformers import GPT2Config, Qwen2Config

from converter.checkpoints.calling import call
from converter.checkpoints.export_wrappers import ExportWrapper
from converter.checkpoints.loading import LoadedModel
from converter.checkpoints.pooling import lacks_padding_token, padding_token
from converter.checkpoints.sample_inputs import sample
from converter.core.errors import ConversionError
from converter.onnx import OnnxConfig

_TINY = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "bos_token_id": 1, "eos_token_id": 2}
MODELS = {
    "Qwen2ForSequenceClassification": Qwen2Config(**_TINY, num_key_value_heads=1, intermediate_size=16, initializer_range=0.3),
    "GPT2ForSequenceClassification": GPT2Config(**_TINY, initializer_range=0.3),
    "LlamaForSequenceClassification": transformers.LlamaConfig(**_TINY, intermediate_size=16, initializer_range=0.3),
    "BloomForSequenceClassification": transformers.BloomConfig(**_TINY, initializer_range=0.3, pad_token_id=None),
}
NAMES = ["input_ids", "attention_mask"]
TEXTS = ([5, 0], [7, 3, 9, 0, 0, 4], [8, 2, 2], [0])
"""Some end in token 0, which would be taken for padding by those who guess, and one in the end-of-text token twice."""


def _model(name: str, **settings: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    config = type(MODELS[name]).from_dict({**MODELS[name].to_dict(), **settings})
    model: torch.nn.Module = getattr(transformers, name)(config).eval()
    return model


def _alone(model: torch.nn.Module, text: list[int]) -> torch.Tensor:
    """What transformers gives for a text alone, with nothing of the checkpoint changed."""
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=torch.tensor([text]), attention_mask=torch.ones(1, len(text), dtype=torch.int64)).logits
    return logits[0]


def _padded(token: int, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, TEXTS))
    rows = [([token] * (longest - len(text)), text) for text in TEXTS]
    ids = torch.tensor([[*pad, *text] if left else [*text, *pad] for pad, text in rows])
    mask = torch.tensor([[0] * len(pad) + [1] * len(text) if left else [1] * len(text) + [0] * len(pad) for pad, text in rows])
    return ids, mask


@pytest.mark.parametrize("padding", [0, 2, 49])
@pytest.mark.parametrize("name", MODELS)
def test_each_text_of_a_padded_batch_scores_as_it_does_alone(name: str, padding: int) -> None:
    model = _model(name)
    assert lacks_padding_token(model)
    inputs = _padded(padding, left=False)
    with torch.no_grad():
        (logits,) = ExportWrapper(model, NAMES, ["logits"])(*inputs)
        (reference,) = call(model, dict(zip(NAMES, inputs, strict=True)), ["logits"])
    alone = torch.stack([_alone(model, text) for text in TEXTS])
    torch.testing.assert_close(logits, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(reference, alone, atol=1e-5, rtol=1e-5)
    assert model.config.pad_token_id is None
    assert (alone[0] - alone[1]).abs().max() > 1e-2  # so that no two positions are alike


def test_padding_on_the_left_is_told_by_the_mask_too() -> None:
    model = _model("LlamaForSequenceClassification")  # its positions are relative
    inputs = _padded(0, left=True)
    with torch.no_grad():
        (logits,) = ExportWrapper(model, NAMES, ["logits"])(*inputs)
        (reference,) = call(model, dict(zip(NAMES, inputs, strict=True)), ["logits"])
    alone = torch.stack([_alone(model, text) for text in TEXTS])
    torch.testing.assert_close(logits, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(reference, alone, atol=1e-5, rtol=1e-5)


def test_a_checkpoint_that_names_its_padding_token_is_called_as_it_is() -> None:
    model = _model("Qwen2ForSequenceClassification", pad_token_id=9)
    assert not lacks_padding_token(model)
    ids, mask = torch.tensor([[7, 3, 9, 9], [5, 4, 3, 9]]), torch.ones(2, 4, dtype=torch.int64)
    with torch.no_grad():
        (logits,) = ExportWrapper(model, NAMES, ["logits"])(ids, mask)
        expected = model(input_ids=ids, attention_mask=mask).logits
    assert torch.equal(logits, expected)


def test_a_model_that_reads_no_last_token_is_the_same_without_a_padding_token() -> None:
    torch.manual_seed(0)
    config = transformers.BertConfig(**_TINY, intermediate_size=16, pad_token_id=None)
    model = transformers.BertForSequenceClassification(config).eval()
    ids, mask = _padded(0, left=False)
    with torch.no_grad():
        (logits,) = ExportWrapper(model, NAMES, ["logits"])(ids, mask)
        assert torch.equal(logits, model(input_ids=ids, attention_mask=mask).logits)


def test_a_classifier_that_no_mask_and_no_token_tells_of_padding_is_refused() -> None:
    class WithoutMask(OnnxConfig):
        inputs = {"input_ids": {0: "batch", 1: "sequence"}}  # noqa: RUF012 - as a user writes it

    model = LoadedModel(_model("GPT2ForSequenceClassification"))
    config = WithoutMask(model.config, task="sequence-classification")
    with pytest.raises(ConversionError, match=r"config.json has no pad_token_id, and without attention_mask the end of a text is unknown"):
        sample(model, config, config.size(2, 5, 1))


def test_a_model_of_two_texts_is_asked_for_the_padding_token_of_its_decoder() -> None:
    class TwoTexts(transformers.PreTrainedConfig):
        def get_text_config(self, *_: Any, **__: Any) -> Any:
            raise ValueError("Multiple valid text configs were found")  # transformers' message for such a configuration

    config = TwoTexts()
    config.decoder = transformers.GPT2Config(pad_token_id=7)
    model = torch.nn.Module()
    model.config = config  # type: ignore[assignment]
    assert padding_token(model) == 7
    assert not lacks_padding_token(model)
