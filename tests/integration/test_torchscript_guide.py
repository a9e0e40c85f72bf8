"""docs/how-to/torchscript.md, typed in: its commands and its code run in order, and return transformers' results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel

from tests.support.checkpoints import save_tiny, save_tokenizer
from tests.support.guides import play

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")  # the guide says so


def test_the_guide_works_from_beginning_to_end(command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = save_tiny(tmp_path / "bert-base-uncased", "bert", "AutoModel")
    save_tokenizer(checkpoint, "input_ids", "token_type_ids", "attention_mask")
    monkeypatch.chdir(tmp_path)
    kinds, names = play("how-to/torchscript.md", command)
    assert kinds == ["sh", *["python"] * 4]

    with torch.no_grad():
        expected = AutoModel.from_pretrained(checkpoint)(**names["inputs"]).last_hidden_state
    for name in ("last_hidden_state", "by_position", "again"):
        torch.testing.assert_close(names[name], expected)
    torch.testing.assert_close(torch.from_numpy(names["outputs"]["last_hidden_state"]), expected)
    assert names["signature"].fixed == {}
