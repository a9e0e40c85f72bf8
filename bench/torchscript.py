"""TorchScript: CPU time of a call, eager, traced and frozen side by side, and the size of an archive, tied, untied and frozen."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from converter.architectures import FEATURES
from converter.backends import BACKENDS
from converter.core.records import Job, Source
from converter.pipeline import run_job
from tests.support.checkpoints import MINILM

_ROUNDS, _WARM_UP = 9, 3  # an executor specializes in its first calls

_BASE = {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
_BART_BASE = {
    "encoder_layers": 6,
    "decoder_layers": 6,
    "d_model": 768,
    "encoder_ffn_dim": 3072,
    "decoder_ffn_dim": 3072,
    "vocab_size": 50265,
}


@dataclass(frozen=True)
class Subject:
    """A model of a real size, with random weights if it has no folder, and the shapes (batch, tokens) of its calls."""

    name: str
    feature: str
    model_type: str
    shapes: tuple[tuple[int, int], ...] = ()
    config: Mapping[str, Any] | None = None
    folder: Path | None = None

    def checkpoint(self, place: Path) -> Path:
        """Its folder, made in `place` if missing."""
        if self.folder:
            return self.folder
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(self.model_type, **(self.config or {}))
        getattr(transformers, FEATURES[self.feature].auto_classes[0]).from_config(config).save_pretrained(place)
        return place


CALLED = (
    Subject("all-MiniLM-L6-v2", "default", "bert", ((1, 16), (1, 128), (8, 128)), folder=MINILM),
    Subject("distilgpt2's size", "causal-lm", "gpt2", ((1, 16), (1, 128)), {"n_layer": 6}),
    Subject(
        "Longformer, 4 layers",
        "default",
        "longformer",
        ((1, 512), (1, 1024)),
        {**_BASE, "num_hidden_layers": 4, "attention_window": 512, "max_position_embeddings": 1026},
    ),
)
STORED = (
    Subject("BERT-base", "masked-lm", "bert", config=_BASE),
    Subject("BART-base", "seq2seq-lm", "bart", config=_BART_BASE),
)


def latencies() -> Iterator[tuple[str, str, dict[str, float]]]:
    """For each subject and shape, the CPU milliseconds of a call on one thread: the best of interleaved rounds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for subject in CALLED:
            with tempfile.TemporaryDirectory() as place:
                yield from _latencies_of(subject, Path(place))
    finally:
        torch.set_num_threads(threads)


def sizes() -> Iterator[tuple[str, dict[str, int]]]:
    """For each subject, the bytes of its weights and of its archives; each is validated."""
    for subject in STORED:
        with tempfile.TemporaryDirectory() as place:
            checkpoint = subject.checkpoint(Path(place) / "checkpoint")
            figures = {"weights": (checkpoint / "model.safetensors").stat().st_size}
            for name, options in (("tied", {}), ("untied", {"untie": True}), ("frozen", {"freeze": True})):
                figures[name] = _convert(subject, checkpoint, Path(place) / name, **options).stat().st_size
            yield f"{subject.name}, {subject.feature}", figures


def _latencies_of(subject: Subject, place: Path) -> Iterator[tuple[str, str, dict[str, float]]]:
    checkpoint = subject.checkpoint(place / "checkpoint")
    model = getattr(transformers, FEATURES[subject.feature].auto_classes[0]).from_pretrained(checkpoint).eval()
    model.config.use_cache = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit
        traced, frozen = (
            torch.jit.load(_convert(subject, checkpoint, place / str(freeze), freeze=freeze, sequence_length=64))
            for freeze in (False, True)
        )
    names = [argument.name for argument in traced.forward.schema.arguments[1:]]
    for batch, length in subject.shapes:
        inputs = _inputs(names, batch, length)
        calls = {"eager": model, "traced": traced, "frozen": frozen}
        yield subject.name, f"{batch} x {length}", _measure(calls, inputs)


def _inputs(names: list[str], batch: int, length: int) -> dict[str, torch.Tensor]:
    shape = (batch, length)
    made = {"input_ids": torch.randint(5, 1000, shape), "attention_mask": torch.ones(shape, dtype=torch.int64)}
    made |= {name: torch.zeros(shape, dtype=torch.int64) for name in names if name not in made}
    if "global_attention_mask" in made:
        made["global_attention_mask"][:, 0] = 1
    return made


def _measure(calls: Mapping[str, Callable[..., Any]], inputs: Mapping[str, torch.Tensor]) -> dict[str, float]:
    best = dict.fromkeys(calls, float("inf"))
    with torch.inference_mode():
        for call in calls.values():
            for _ in range(_WARM_UP):
                call(**inputs)
        for _ in range(_ROUNDS):
            for name, call in calls.items():
                started = time.process_time()
                call(**inputs)
                best[name] = min(best[name], (time.process_time() - started) * 1000)
    return best


def _convert(subject: Subject, checkpoint: Path, place: Path, **options: Any) -> Path:
    backend = BACKENDS["torchscript"]
    job = Job(
        source=Source(name=subject.name, folder=checkpoint),
        backend=backend.name,
        options=backend.options(feature=subject.feature, **options),
        destination=place,
    )
    outcome = run_job(job)
    if outcome.failure:
        raise RuntimeError(f"{subject.name}: {outcome.failure.message}")
    return place / backend.files.main
