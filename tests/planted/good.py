"""Conversions that are right: tiny checkpoints of many architectures, sizes and scales of their weights. None must be refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converter.backends import BACKENDS
from converter.core.records import Job, Source
from converter.pipeline import run_job
from tests.planted.bases import Base, save_checkpoint

SCALES = (0.02, 0.1, 0.3)
"""The customary standard deviation of initial weights, one at which masks matter, and one at which float32 itself is coarse."""

_HUB = {"profile": "hub"}
_CACHE = "causal-lm-with-past"
_WIDE: Mapping[str, Any] = {"hidden_size": 96, "intermediate_size": 160, "num_attention_heads": 6, "num_hidden_layers": 3}
_DEEP: Mapping[str, Any] = {"hidden_size": 48, "intermediate_size": 80, "num_attention_heads": 3, "num_hidden_layers": 6}
_GROUPED: Mapping[str, Any] = {
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 16,
    "max_position_embeddings": 128,
}
_SEQ2SEQ: Mapping[str, Any] = {
    "d_model": 96,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 6,
    "decoder_attention_heads": 6,
    "encoder_ffn_dim": 160,
    "decoder_ffn_dim": 160,
    "max_position_embeddings": 128,
}
_T5: Mapping[str, Any] = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4}
_GPT2: Mapping[str, Any] = {"n_embd": 96, "n_layer": 3, "n_head": 6, "n_positions": 128}

_BASES: tuple[tuple[Base, Mapping[str, Any]], ...] = (
    *(
        (Base(model_type="bert", feature=feature), _WIDE)
        for feature in (
            "default",
            "masked-lm",
            "causal-lm",
            "sequence-classification",
            "multiple-choice",
            "token-classification",
            "question-answering",
        )
    ),
    *(
        (Base(model_type=kind, feature=feature), _WIDE)
        for kind in ("roberta", "camembert", "electra", "mpnet", "layoutlm")
        for feature in (
            "default",
            "masked-lm",
            "sequence-classification",
        )
        if (kind, feature) != ("mpnet", "masked-lm")
    ),
    *(
        (Base(model_type=kind, feature=feature), {})
        for kind, feature in (
            ("distilbert", "masked-lm"),
            ("distilbert", "question-answering"),
            ("roberta", "token-classification"),
            ("roberta", "question-answering"),
            ("electra", "token-classification"),
            ("albert", "sequence-classification"),
            ("gpt2", "token-classification"),
            ("xlm-roberta", "masked-lm"),
            ("distilbert", "sequence-classification"),
            ("albert", "masked-lm"),
            ("deberta-v2", "default"),
            ("deberta-v2", "token-classification"),
            ("longformer", "default"),
            ("ibert", "masked-lm"),
            ("modernbert", "masked-lm"),
            ("xlm-roberta", "token-classification"),
            ("mobilebert", "default"),
            ("squeezebert", "default"),
            ("convbert", "default"),
        )
    ),
    *(
        (Base(model_type="gpt2", feature=feature, options=options), _GPT2)
        for feature, options in (
            ("default", {}),
            (_CACHE, {}),
            (_CACHE, _HUB),
            ("sequence-classification", {}),
            ("default-with-past", {}),
        )
    ),
    *(
        (Base(model_type="gpt_neo", feature=feature), {"hidden_size": 96, "num_heads": 6, "intermediate_size": 160})
        for feature in (
            "causal-lm",
            _CACHE,
        )
    ),
    *(
        (Base(model_type=kind, feature=_CACHE, options=_HUB), _GROUPED)
        for kind in ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text")
    ),
    *(
        (Base(model_type=kind, feature=_CACHE, options=_HUB), {})
        for kind in (
            "bloom",
            "opt",
            "gpt_neox",
            "phi",
            "phi3",
            "falcon",
            "stablelm",
            "olmo2",
            "granite",
            "gptj",
            "codegen",
            "starcoder2",
            "cohere",
        )
    ),
    *(
        (Base(model_type="t5", feature=feature, options=options), _T5)
        for feature, options in (
            ("default", {}),
            ("seq2seq-lm", {}),
            ("seq2seq-lm-with-past", {}),
            ("seq2seq-lm-with-past", _HUB),
        )
    ),
    (
        Base(model_type="t5", feature="seq2seq-lm-with-past", options=_HUB),
        {**_T5, "tie_word_embeddings": False, "feed_forward_proj": "gated-gelu"},
    ),
    (Base(model_type="mt5", feature="seq2seq-lm"), {}),
    *(
        (Base(model_type=kind, feature=feature, options=options), _SEQ2SEQ)
        for kind in ("bart", "mbart", "marian")
        for feature, options in (
            ("seq2seq-lm-with-past", {}),
            ("seq2seq-lm-with-past", _HUB),
        )
    ),
    (Base(model_type="pegasus", feature="seq2seq-lm-with-past", options=_HUB), {}),
    (Base(model_type="whisper", feature="automatic-speech-recognition-with-past", options=_HUB), {}),
    *(
        (Base(model_type=kind, feature="image-classification"), {})
        for kind in ("vit", "deit", "beit", "swin", "convnext", "resnet", "dinov2")
    ),
    (Base(model_type="clip", feature="zero-shot-image-classification"), {}),
    (Base(model_type="siglip", feature="zero-shot-image-classification"), {}),
    (Base(model_type="wav2vec2", feature="automatic-speech-recognition"), {}),
    (Base(model_type="hubert", feature="audio-classification"), {}),
    (Base(model_type="bert", feature="masked-lm", options={"optimize": "cpu"}), _DEEP),
    (Base(model_type="bert", feature="masked-lm", options={"optimize": "cuda"}), _DEEP),
    (Base(model_type="bert", feature="default"), _DEEP),
    (Base(model_type="gpt2", feature=_CACHE, options={"optimize": "cpu", **_HUB}), _GPT2),
    (Base(model_type="bert", feature="sequence-classification", backend="torchscript"), _WIDE),
    (Base(model_type="roberta", feature="masked-lm", backend="torchscript"), _WIDE),
    (Base(model_type="gpt2", feature="causal-lm", backend="torchscript"), _GPT2),
    (Base(model_type="t5", feature="seq2seq-lm", backend="torchscript"), _T5),
    (Base(model_type="vit", feature="image-classification", backend="torchscript"), {}),
)


@dataclass(frozen=True)
class Conversion:
    """A checkpoint that is right, and how it is converted."""

    name: str
    base: Base


def conversions() -> Iterator[Conversion]:
    """Each base at each scale; the graph of one is captured once."""
    for number, (base, changes) in enumerate(_BASES):
        for scale in SCALES:
            options = "".join(f" {name}={value}" for name, value in base.options.items())
            name = f"{number} {base.model_type} {base.feature} {base.backend}{options} scale {scale}"
            yield Conversion(name, replace(base, changes=changes, scale=scale, seed=number))


def place_of(conversion: Conversion, folder: Path) -> Path:
    """The folders of its checkpoint and its artifact."""
    return folder / conversion.name.replace(" ", "-").replace("=", "-")


def convert(conversion: Conversion, folder: Path) -> str:
    """Convert it. Returns why it is refused; empty if it is not."""
    base = conversion.base
    place = place_of(conversion, folder)
    checkpoint = save_checkpoint(place / "checkpoint", base)
    job = Job(
        source=Source(name=conversion.name, folder=checkpoint),
        backend=base.backend,
        options=BACKENDS[base.backend].options.model_validate(base.asked),
        destination=place / "artifact",
        cache=folder / "cache",
    )
    outcome = run_job(job)
    return "" if outcome.status == "converted" else str(outcome.failure and outcome.failure.message)
