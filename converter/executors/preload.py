"""Loads for the fork server, once for all workers: most of a small model's time is imports and first uses.

The smallest BERT is made and converted, and once more with its cached graph. This loads transformers' loading and tokenizers,
torch.export, the 470 modules that the exporter loads at its first graph, and ONNX Runtime. Then the heap is frozen: a garbage
collection would copy it into each worker. OpenMP's threads do not survive a fork, so there is one thread until a worker sets its
number.
"""

import gc
import tempfile
from pathlib import Path

import torch
import transformers

import converter.executors.threads  # noqa: F401 - it asks torch before the number is set here
from converter.backends.onnx.options import OnnxOptions
from converter.core.records import Job, Source
from converter.pipeline import run_job

_WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def _convert_the_smallest(folder: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=len(_WORDS), hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4, max_position_embeddings=8
    )
    transformers.BertModel(config).save_pretrained(folder / "checkpoint")
    transformers.BertTokenizer(vocab={word: place for place, word in enumerate(_WORDS)}).save_pretrained(folder / "checkpoint")
    for name in ("captured", "kept"):
        job = Job(
            source=Source(name="preload", folder=folder / "checkpoint"),
            backend="onnx",
            options=OnnxOptions(feature="default"),
            destination=folder / name,
            cache=folder / "cache",
        )
        run_job(job)  # whatever comes of it, each job tells for itself


torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers' own lacks types
with tempfile.TemporaryDirectory() as _folder:
    _convert_the_smallest(Path(_folder))
gc.collect()
gc.freeze()
