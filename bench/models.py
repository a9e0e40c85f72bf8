"""The models that are measured: real sizes with random weights, all-MiniLM-L6-v2 with its trained ones, and fine-tunes of any."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from converter.architectures import FEATURES
from tests.support.checkpoints import MINILM as MINILM_FOLDER


@dataclass(frozen=True)
class Model:
    """A model of a real size, by the changes to its default configuration; a folder has trained weights."""

    name: str
    feature: str
    model_type: str
    config: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    atol: float | None = None
    """The tolerance of our validation, if not the default."""

    @property
    def slug(self) -> str:
        """Its name as a folder's."""
        return self.name.lower().replace(" ", "-")

    def checkpoint(self, place: Path, seed: int = 0) -> Path:
        """A checkpoint in `place`, another for each seed: random weights, or trained ones with a hundredth of noise and their tokenizer."""
        torch.manual_seed(seed)
        auto_class = getattr(transformers, FEATURES[self.feature].auto_classes[0])
        if self.folder:
            module = auto_class.from_pretrained(self.folder)
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter += 0.01 * parameter.std() * torch.randn_like(parameter)
            shutil.copytree(self.folder, place)
        else:
            module = auto_class.from_config(transformers.AutoConfig.for_model(self.model_type, **self.config))
        module.save_pretrained(place)
        return place


def weight_bytes(checkpoint: Path) -> int:
    """The size of a checkpoint's weights on disk."""
    return sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))


_SIX_OF_768 = {"hidden_size": 768, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 3072}
_ROBERTA = {**_SIX_OF_768, "max_position_embeddings": 514, "type_vocab_size": 1}

MINILM = Model("MiniLM", "default", "bert", folder=MINILM_FOLDER)
BERT_BASE = Model("BERT-base", "default", "bert")
GPT2 = Model("GPT-2", "causal-lm-with-past", "gpt2")
DISTILGPT2 = Model("DistilGPT2", "causal-lm-with-past", "gpt2", {"n_layer": 6})

TEN = (
    MINILM,
    BERT_BASE,
    Model("DistilBERT", "sequence-classification", "distilbert"),
    DISTILGPT2,
    Model("T5-small", "seq2seq-lm-with-past", "t5", {"decoder_start_token_id": 0}),
    Model("DistilRoBERTa", "masked-lm", "roberta", {**_ROBERTA, "vocab_size": 50265}),
    Model("CamemBERT of 6 layers", "token-classification", "camembert", {**_ROBERTA, "vocab_size": 32005}),
    Model("LayoutLM of 6 layers", "sequence-classification", "layoutlm", {"num_hidden_layers": 6}),
    Model(
        "GPT-Neo of 6 layers",
        "causal-lm-with-past",
        "gpt_neo",
        {"hidden_size": 768, "num_layers": 6, "num_heads": 12, "attention_types": [[["global", "local"], 3]]},
        atol=1e-4,  # its random weights differ by 1.2e-5 at 2,048 positions, and 1e-5 is its own
    ),
    Model(
        "BART of 3 and 3 layers",
        "seq2seq-lm-with-past",
        "bart",
        {
            "d_model": 768,
            "encoder_layers": 3,
            "decoder_layers": 3,
            "encoder_attention_heads": 12,
            "decoder_attention_heads": 12,
            "encoder_ffn_dim": 3072,
            "decoder_ffn_dim": 3072,
        },
    ),
)
"""Ten families and heads, all of which optimum-cli knows too."""

_TINY = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}

SMALL = (
    Model("BERT-tiny", "default", "bert", _TINY),
    Model("DistilBERT-tiny", "sequence-classification", "distilbert", {"dim": 128, "hidden_dim": 512, "n_layers": 2, "n_heads": 2}),
    Model(
        "GPT-2-tiny",
        "causal-lm-with-past",
        "gpt2",
        {"n_embd": 128, "n_layer": 2, "n_head": 2, "vocab_size": 8000, "bos_token_id": 0, "eos_token_id": 0},
    ),
)
"""For a batch of many."""
