"""The good artifacts that faults are planted in: each a tiny checkpoint, converted once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from converter.architectures import OnnxConfig, find_architecture
from converter.backends import BACKENDS, Backend
from converter.checkpoints.loading import load_model
from converter.core.records import Job, Options, Outcome, Source
from converter.pipeline import run_job
from converter.validation.reference import Reference
from tests.coverage.tiny import tiny_config
from tests.support.checkpoints import save_tokenizer
from tests.support.neuron_doubles import Doubles

ALL_PRECISIONS = "fp32,fp16,bf16,q8,int8-static,w8,q4,q4f16"


@dataclass(frozen=True, kw_only=True)
class Base:
    """A tiny checkpoint and its options.

    `changes` apply to the tiny configuration of tests.coverage; `scale` is the standard deviation of its matrices. `tokenizer` are the
    inputs from its tokenizer; without any it has none. `files` are JSON files beside them, by name.
    """

    model_type: str
    feature: str
    backend: str = "onnx"
    options: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    scale: float = 0.1
    tokenizer: tuple[str, ...] = ()
    files: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def asked(self) -> dict[str, Any]:
        """The options of its conversion."""
        profile = {"profile": "documented"} if self.backend == "onnx" else {}
        return {"feature": self.feature, **profile, **self.options}

    @property
    def validation_options(self) -> dict[str, Any]:
        """The options of its validation without a record: an archive says itself how it was compiled."""
        return self.asked if self.backend == "onnx" else {"feature": self.feature}


_TOKENS = ("input_ids", "attention_mask")
_PAIR = (*_TOKENS, "token_type_ids")
_HUB = {"profile": "hub"}
_CACHE = "causal-lm-with-past"
_SMALL = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}

_PREPROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "rescale_factor": 1 / 255,
    "size": {"height": 32, "width": 32},
}
_MODULES = {
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ],
    "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True},
    "sentence_bert_config.json": {"max_seq_length": 40, "do_lower_case": False},
}

BASES: Mapping[str, Base] = {
    # encoders
    "bert": Base(model_type="bert", feature="masked-lm", changes={"max_position_embeddings": 96}, tokenizer=_PAIR),
    "bert-qa": Base(model_type="bert", feature="question-answering", options=_HUB, changes={"max_position_embeddings": 48}),
    "roberta": Base(model_type="roberta", feature="token-classification", changes={"max_position_embeddings": 70}),
    "distilbert": Base(model_type="distilbert", feature="sequence-classification", changes={"max_position_embeddings": 72}),
    "albert": Base(model_type="albert", feature="default"),
    "mpnet": Base(model_type="mpnet", feature="default", changes={"max_position_embeddings": 150}),
    "deberta": Base(model_type="deberta-v2", feature="sequence-classification"),
    "electra": Base(model_type="electra", feature="default", tokenizer=_PAIR, options=_HUB),
    "modernbert": Base(model_type="modernbert", feature="masked-lm"),
    "layoutlm": Base(model_type="layoutlm", feature="token-classification"),
    "sentences": Base(model_type="bert", feature="default", options=_HUB, tokenizer=_PAIR, files=_MODULES),
    # decoders
    "gpt2": Base(model_type="gpt2", feature=_CACHE, changes={"n_positions": 80}),
    "gpt2-hub": Base(model_type="gpt2", feature=_CACHE, options=_HUB, changes={"n_positions": 80}, tokenizer=_TOKENS),
    "gpt_neo": Base(model_type="gpt_neo", feature=_CACHE, changes={"max_position_embeddings": 80}),
    "llama": Base(model_type="llama", feature=_CACHE, options=_HUB, tokenizer=_TOKENS),
    "qwen2": Base(model_type="qwen2", feature=_CACHE, options=_HUB),
    "mistral": Base(model_type="mistral", feature=_CACHE, options=_HUB),
    "mistral-wide": Base(
        model_type="mistral", feature=_CACHE, options=_HUB, changes={"sliding_window": 600, "max_position_embeddings": 1024}
    ),
    "gemma2": Base(
        model_type="gemma2",
        feature=_CACHE,
        options=_HUB,
        changes={"attn_logit_softcapping": 2.0, "final_logit_softcapping": 6.0},
        scale=0.2,
    ),
    "gemma3": Base(model_type="gemma3_text", feature=_CACHE, options=_HUB),
    "bloom": Base(model_type="bloom", feature=_CACHE, options=_HUB),
    "opt": Base(model_type="opt", feature=_CACHE, options=_HUB),
    "gpt_neox": Base(model_type="gpt_neox", feature=_CACHE, options=_HUB),
    "qwen3": Base(model_type="qwen3", feature=_CACHE, options=_HUB),
    "reward": Base(model_type="gpt2", feature="sequence-classification"),
    # encoder and decoder
    "t5": Base(model_type="t5", feature="seq2seq-lm-with-past", options=_HUB),
    "t5-whole": Base(model_type="t5", feature="seq2seq-lm-with-past"),
    "bart": Base(model_type="bart", feature="seq2seq-lm-with-past"),
    "marian": Base(model_type="marian", feature="seq2seq-lm-with-past", options=_HUB),
    "whisper": Base(model_type="whisper", feature="automatic-speech-recognition-with-past", options=_HUB),
    # images and sound
    "vit": Base(model_type="vit", feature="image-classification", files={"preprocessor_config.json": _PREPROCESSOR}),
    "clip": Base(model_type="clip", feature="zero-shot-image-classification"),
    "segformer": Base(model_type="segformer", feature="semantic-segmentation"),
    "wav2vec2": Base(model_type="wav2vec2", feature="automatic-speech-recognition"),
    # other forms of the same
    "bert-cpu": Base(model_type="bert", feature="masked-lm", options={"optimize": "cpu"}),
    "bert-cuda": Base(model_type="bert", feature="sequence-classification", options={"optimize": "cuda"}),
    "bert-shared": Base(model_type="bert", feature="default", options={"weights": "shared"}),
    "gpt2-cpu": Base(model_type="gpt2", feature=_CACHE, options={"optimize": "cpu", **_HUB}),
    # precisions
    "bert-variants": Base(
        model_type="bert",
        feature="sequence-classification",
        options={**_HUB, "variants": ALL_PRECISIONS, "tier": "any"},
        changes={"max_position_embeddings": 200},
        tokenizer=_PAIR,
    ),
    "bert-w8": Base(model_type="bert", feature="sequence-classification", options={**_HUB, "variants": "fp32,w8"}, tokenizer=_PAIR),
    "gpt2-variants": Base(
        model_type="gpt2",
        feature=_CACHE,
        options={**_HUB, "variants": ALL_PRECISIONS, "tier": "any"},
        changes={"n_positions": 200},
        tokenizer=_TOKENS,
    ),
    "llama-variants": Base(
        model_type="llama",
        feature=_CACHE,
        options={**_HUB, "variants": "fp32,fp16,q8,q4", "tier": "any"},
        changes={"max_position_embeddings": 200},
        tokenizer=_TOKENS,
    ),
    "t5-variants": Base(
        model_type="t5",
        feature="seq2seq-lm-with-past",
        options={**_HUB, "variants": "fp32,fp16,q8", "tier": "any"},
        tokenizer=_TOKENS,
    ),
    # traces
    "trace-bert": Base(model_type="bert", feature="question-answering", backend="torchscript"),
    "trace-bert-lm": Base(model_type="bert", feature="masked-lm", backend="torchscript"),
    "trace-gpt2": Base(model_type="gpt2", feature="causal-lm", backend="torchscript"),
    "neuron-bert": Base(
        model_type="bert",
        feature="sequence-classification",
        backend="neuron",
        options={"target": "inf2", "batch_size": 2, "sequence_length": "8"},
    ),
    "trace-vit": Base(model_type="vit", feature="image-classification", backend="torchscript"),
}


def save_checkpoint(folder: Path, base: Base) -> Path:
    """Save the random checkpoint of a base, the same for the same seed."""
    auto_class = _auto_class(base)
    kind = tiny_config(base.model_type)
    config = type(kind).from_dict({**kind.to_dict(), **base.changes})
    config.num_labels = 2 if "QuestionAnswering" in auto_class else 3
    config.architectures = []
    transformers.set_seed(base.seed)
    model = getattr(transformers, auto_class).from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, base.scale)
            elif name.endswith("bias"):
                parameter.normal_(0.0, base.scale)  # a bias of zeros may be dropped without harm
            elif parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * base.scale)  # and norms of ones be exchanged
    model.float().eval().save_pretrained(folder)
    for name, content in base.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return save_tokenizer(folder, *base.tokenizer) if base.tokenizer else folder


def _auto_class(base: Base) -> str:
    return find_architecture(base.model_type).auto_class(base.feature)


@dataclass(frozen=True)
class Good:
    """A good artifact with its checkpoint. `folder` is the model's folder, `artifact` that with the artifact's files, in it."""

    base: Base
    checkpoint: Path
    folder: Path
    outcome: Outcome
    answers: dict[str, Any] = field(default_factory=dict)
    """The outputs of the checkpoint and the good artifact for the witnesses so far."""
    verdicts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The problems that validation finds, by its options."""

    @property
    def artifact(self) -> Path:
        return self.folder / self.base.backend

    @property
    def backend(self) -> Backend:
        return BACKENDS[self.base.backend]

    @property
    def source(self) -> Source:
        return Source(name=str(self.checkpoint), folder=self.checkpoint)

    def tier(self, asked: Mapping[str, Any]) -> dict[str, str]:
        """The default tier, or `any` if a good variant does not reach it.

        Random weights may lose more with four bits than trained ones.
        """
        if not self.outcome.verdict or not self.outcome.verdict.variants:
            return {}
        names = str(asked.get("variants", self.base.options["variants"])).split(",")
        tiers = {variant.tier for variant in self.outcome.verdict.variants if variant.name in names}
        return {"tier": "any" if "any" in tiers else "lossy"}

    @cached_property
    def reference(self) -> Reference:
        """The checkpoint as transformers runs it."""
        return Reference(self._model, tuple(self.config.outputs))

    @cached_property
    def config(self) -> OnnxConfig:
        return self.backend.configure(find_architecture(self.base.model_type), self._model, self._options)

    @property
    def _options(self) -> Options:
        return self.backend.options.model_validate(self.base.asked)

    @cached_property
    def _model(self) -> Any:
        return load_model(self.checkpoint, _auto_class(self.base), "float32")


class Workshop:
    """Makes the good artifacts in a folder, each once. Raises RuntimeError for one that is refused."""

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        self.folder = folder
        self._cache = cache or folder / "cache"
        self._made: dict[str, Good] = {}

    def good(self, name: str) -> Good:
        if name not in self._made:
            self._made[name] = self._make(name, BASES[name])
        return self._made[name]

    def _make(self, name: str, base: Base) -> Good:
        checkpoint, folder = self.folder / name / "checkpoint", self.folder / name / "model"
        if not checkpoint.exists():
            save_checkpoint(checkpoint, base)
        backend = BACKENDS[base.backend]
        job = Job(
            source=Source(name=str(checkpoint), folder=checkpoint),
            backend=base.backend,
            options=backend.options.model_validate(base.asked),
            destination=folder / base.backend,
            model_folder=folder,
            cache=self._cache,
        )
        outcome = run_job(job)
        if outcome.status not in ("converted", "skipped"):
            raise RuntimeError(f"{name} is refused: {outcome.failure and outcome.failure.message}")
        return Good(base, checkpoint, folder, outcome)

    @contextmanager
    def copy(self, good: Good, name: str) -> Iterator[Path]:
        """A copy of a good model's folder, to plant a fault in."""
        place = self.folder / "faulty" / "".join(letter if letter.isalnum() else "-" for letter in name)
        shutil.copytree(good.folder, place)
        try:
            yield place
        finally:
            shutil.rmtree(place)


@contextmanager
def neuron_double(folder: Path) -> Iterator[None]:
    """Put a double of Neuron's SDK in its place, and one of a device in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        doubles = Doubles(patch, folder)
        doubles.device(True)
        doubles.install("torch_neuronx-2.9")
        yield
