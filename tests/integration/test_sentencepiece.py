"""A checkpoint whose tokenizer is SentencePiece's file alone is converted, and its own tokenizer reads the real sentences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converter.core.records import Outcome
from tests.support.checkpoints import SENTENCEPIECE, TINY_CONFIGS, save_sentencepiece, save_tiny

_DEBERTA: dict[str, Any] = {
    **TINY_CONFIGS["bert"],
    "relative_attention": True,
    "position_buckets": 8,
    "pos_att_type": ["c2p", "p2c"],
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
}


@pytest.mark.parametrize(
    ("model_type", "feature", "auto_class"),
    [
        ("marian", "seq2seq-lm", "AutoModelForSeq2SeqLM"),
        ("t5", "seq2seq-lm", "AutoModelForSeq2SeqLM"),
        ("deberta-v2", "default", "AutoModel"),
        ("xlm-roberta", "default", "AutoModel"),
    ],
)
def test_its_tokenizer_reads_the_sentences(
    model_type: str, feature: str, auto_class: str, convert: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TINY_CONFIGS, "deberta-v2", _DEBERTA)
    monkeypatch.setitem(TINY_CONFIGS, "xlm-roberta", TINY_CONFIGS["roberta"])
    checkpoint = save_tiny(tmp_path / "checkpoint", model_type, auto_class)
    save_sentencepiece(checkpoint, model_type)
    assert not (checkpoint / "tokenizer.json").exists() and (checkpoint / SENTENCEPIECE[model_type][0]).is_file()
    outcome = convert(checkpoint, feature=feature)
    assert outcome.failure is None, outcome.failure
    assert outcome.verdict is not None and outcome.verdict.passed
    assert "sentences" in {case.name for case in outcome.verdict.cases}
    assert not any("no real text" in note for note in outcome.verdict.notes)
