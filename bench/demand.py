"""The memory of a worker beyond the imports, beside the prediction for `--jobs auto` (`executors/memory_prediction.py`)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from bench.models import Model, weight_bytes
from bench.ours import Batch, Entry
from bench.processes import WorkerMemory
from bench.table import Row
from converter.backends import BACKENDS
from converter.core.records import Job, Source
from converter.executors.memory_prediction import predicted_bytes
from converter.pipeline import Plan, plan_job


@dataclass(frozen=True)
class _Case:
    model: Model
    backend: str = "onnx"
    dtype: str = "float32"
    options: Mapping[str, Any] = field(default_factory=dict)


_SMALLEST = Model(
    "the smallest BERT", "default", "bert", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
)
_BERT, _BERT_LM = Model("BERT-base", "default", "bert"), Model("BERT-base", "masked-lm", "bert")
_GPT2, _GPT2_PAST = (Model("GPT-2", feature, "gpt2") for feature in ("causal-lm", "causal-lm-with-past"))
_BART_CONFIG = {"d_model": 768, "encoder_layers": 6, "decoder_layers": 6, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072}
_BART, _BART_PAST = (Model("BART-base", feature, "bart", _BART_CONFIG) for feature in ("seq2seq-lm", "seq2seq-lm-with-past"))
_T5, _T5_PAST = (Model("T5-small", feature, "t5", {"decoder_start_token_id": 0}) for feature in ("seq2seq-lm", "seq2seq-lm-with-past"))

_CASES = (
    *(_Case(model) for model in (_SMALLEST, _BERT, _BERT_LM, _GPT2, _GPT2_PAST, _BART, _BART_PAST, _T5, _T5_PAST)),
    _Case(_BERT, dtype="float16"),
    _Case(_BERT, dtype="float16", options={"dtype": "checkpoint"}),
    *(_Case(model, "torchscript") for model in (_SMALLEST, _BERT, _BERT_LM, _GPT2, _BART, _T5)),
    _Case(_BERT, "torchscript", dtype="float16"),
)


def measure() -> Iterator[Row]:
    """A row for each, whose target is that no less was predicted than was taken."""
    for case in _CASES:
        with tempfile.TemporaryDirectory(prefix="converter-bench-") as name:
            place = Path(name)
            checkpoint = case.model.checkpoint(place / "checkpoint")
            if case.dtype != "float32":
                auto_class = getattr(transformers, "AutoModel")  # noqa: B009 - it lacks types
                auto_class.from_pretrained(checkpoint, dtype=getattr(torch, case.dtype)).save_pretrained(place / "narrow")
                shutil.rmtree(checkpoint)
                (place / "narrow").rename(checkpoint)
            profile = {"profile": "documented"} if case.backend == "onnx" else {}
            options = BACKENDS[case.backend].options(feature=case.model.feature, **profile | case.options)
            source = Source(name=str(checkpoint), folder=checkpoint)
            plan = plan_job(Job(source=source, backend=case.backend, options=options, destination=place / "none"))
            assert isinstance(plan, Plan)
            settings = " ".join([f"to={case.backend}", *(f"{option}={value}" for option, value in case.options.items())])
            batch = Batch([Entry(case.model, checkpoint, settings)], place / "ours", place / "graphs")
            memory = WorkerMemory([batch.place / "out" / checkpoint.name / case.backend])
            batch.run("--jobs", "1", watch=memory)
            words = [
                case.model.name,
                case.model.feature,
                case.backend,
                *([case.dtype] if case.dtype != "float32" else []),
                *case.options.values(),
            ]
            predicted = predicted_bytes(plan) / 1e6
            peak = memory.peaks[0] / 1e6
            print(
                f"  {', '.join(words)}: weights {weight_bytes(checkpoint) / 1e6:.0f} MB, took {peak:.0f}, predicted {predicted:.0f}",
                flush=True,
            )
            yield Row(", ".join(words), "MB", peak, predicted, "predicted", ratio_at_most=1.0)
