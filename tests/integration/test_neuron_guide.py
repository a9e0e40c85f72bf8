"""docs/how-to/neuron.md, typed in, with doubles of the SDK and the device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel

from tests.support.checkpoints import save_tiny, save_tokenizer
from tests.support.guides import play
from tests.support.neuron_doubles import Doubles

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")


def test_the_guide_works_with_a_double_from_beginning_to_end(
    doubles: Doubles, command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubles.device(True)
    calls = doubles.install("torch_neuronx-2.9")
    checkpoint = save_tiny(tmp_path / "bert-base-uncased", "bert", max_position_embeddings=128)
    save_tokenizer(checkpoint, "input_ids", "token_type_ids", "attention_mask")
    monkeypatch.chdir(tmp_path)
    kinds, names = play("how-to/neuron.md", command, but="docker")
    assert kinds == ["sh", "sh", "python", "python"]
    assert len(calls()) == 3

    with torch.no_grad():
        tokens = {name: torch.from_numpy(array) for name, array in names["inputs"].items()}
        expected = AutoModel.from_pretrained(checkpoint)(**tokens).last_hidden_state
    torch.testing.assert_close(torch.from_numpy(names["outputs"]["last_hidden_state"]), expected)
    assert names["again"].fixed == {"batch": 1, "sequence": 64}
    assert (tmp_path / "from-python/model.neuron").is_file()
