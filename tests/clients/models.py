"""Checkpoints for clients, converted by a manifest without options except precisions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.coverage.tiny import save_tiny as save_other
from tests.support.checkpoints import MINILM, save_tiny, save_tokenizer

ENCODERS = {
    "classifier": "AutoModelForSequenceClassification",
    "tagger": "AutoModelForTokenClassification",
    "reader": "AutoModelForQuestionAnswering",
    "filler": "AutoModelForMaskedLM",
}
DECODERS = {"gpt2": "gpt2", "llama": "llama", "qwen3": "qwen3"}
TRANSLATORS = {"t5": "t5", "bart": "bart", "marian": "marian"}

EXTERNAL = ("tagger", "bart")
"""The models whose tensors are in a file beside the ONNX file."""

OURS = {"int8": "int8-static"}
"""Names of precisions in this package, if transformers.js has another one."""

PRECISIONS = dict.fromkeys(("minilm", "llama", "t5"), ("fp32", "fp16", "q8", "int8", "q4", "q4f16"))
"""The models that come in several precisions, and these."""


def save_all(folder: Path) -> None:
    """Save a checkpoint of each kind below `folder`, with a tokenizer of a few words."""
    folder.mkdir()
    (folder / "minilm").symlink_to(MINILM)
    for name, head in ENCODERS.items():
        save_tokenizer(save_tiny(folder / name, "bert", head, seed=1), "input_ids", "attention_mask", "token_type_ids")
    for name in DECODERS:
        save_tokenizer(save_other(folder / name, name, "AutoModelForCausalLM", seed=2), "input_ids", "attention_mask")
    for name in TRANSLATORS:
        save_tokenizer(save_other(folder / name, name, "AutoModelForSeq2SeqLM", seed=3), "input_ids", "attention_mask")
    save_other(folder / "whisper", "whisper", "AutoModelForSpeechSeq2Seq", seed=4)


def convert_all(folder: Path) -> Path:
    """Convert them; return the output folder, with each below its name."""
    save_all(folder / "checkpoints")
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    variants = {name: ",".join(OURS.get(precision, precision) for precision in precisions) for name, precisions in PRECISIONS.items()}
    asked = {name: f" tier=any variants={precisions}" for name, precisions in variants.items()}
    asked |= dict.fromkeys(EXTERNAL, " weights=shared")
    lines = [f"./checkpoints/{name} output={name}{asked.get(name, '')}\n" for name in names]
    (folder / "models.txt").write_text("".join(lines), encoding="utf-8")
    said = subprocess.run(
        [sys.executable, "-m", "converter", "--manifest", "models.txt"],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return folder / "out"
