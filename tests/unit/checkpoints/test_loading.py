"""What transformers and its libraries do over a broken file is one sentence, and nothing on standard output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from converter.checkpoints.loading import load_model, load_tokenizer
from converter.errors import CheckpointError
from tests.checkpoints import save_tokenizer
from tests.coverage.tiny import save_tiny


def broken(folder: Path, **changes: Any) -> Path:
    """A folder with a tokenizer whose tokenizer.json has other values."""
    path = save_tokenizer(folder, "input_ids") / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"model": None},
        {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["b c"]}},
        {"added_tokens": [{"id": 2**40}]},
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False}},
        {"version": "9"},
        {"post_processor": [[[[]]]]},
    ],
    ids=str,
)
def test_a_broken_tokenizer_is_a_checkpoint_error(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="cannot load the tokenizer") as caught:
        load_tokenizer(broken(tmp_path, **changes))
    assert "\n" not in caught.value.message


def test_a_panic_of_the_tokenizers_is_a_checkpoint_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To Python it is no Exception: it came through all that handles errors, and was a traceback."""
    import transformers

    class PanicException(BaseException):
        pass

    def panic(*_: object, **__: object) -> None:
        raise PanicException("index out of bounds")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", panic)
    with pytest.raises(CheckpointError, match="PanicException: index out of bounds"):
        load_tokenizer(save_tokenizer(tmp_path, "input_ids"))


def test_a_name_in_a_tokenizer_is_not_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The tokenizers' Rust printed it as it is, in the middle of the one JSON document of --json."""
    token = {"content": "[PAD]", "id": 0, "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    path = save_tokenizer(tmp_path, "input_ids") / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "added_tokens_decoder": {"0": {**token, "\x1b[2Jplanted": 1}}}))
    load_tokenizer(tmp_path)
    assert "planted" not in capfd.readouterr().out


def test_what_ends_the_process_while_a_checkpoint_is_loaded_is_no_fault_of_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    class Ended(BaseException):
        pass

    def end(*_: object, **__: object) -> None:
        raise Ended

    (tmp_path / "tokenizer.json").touch()
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", end)
    with pytest.raises(Ended):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("model_type", "auto"), [("t5", "AutoModelForSeq2SeqLM"), ("glm4_moe", "AutoModelForCausalLM"), ("bert", "AutoModel")]
)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_weights_in_float32_are_those_that_transformers_leaves_so(model_type: str, auto: str, dtype: str, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / model_type, model_type, auto)
    loaded = getattr(transformers, auto).from_pretrained(folder, dtype=getattr(torch, dtype))
    wide = {name for name, tensor in loaded.state_dict().items() if tensor.dtype == torch.float32}
    assert load_model(folder, auto, "float32").float32_weights(dtype) == wide
    assert bool(wide) == ((model_type, dtype) in {("t5", "float16"), ("glm4_moe", "float16"), ("glm4_moe", "bfloat16")})
