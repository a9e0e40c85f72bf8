"""What transformers and its libraries do over a broken file is one sentence, and nothing on standard output."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from converter.checkpoints.loading import load_model, load_tokenizer
from converter.core.errors import CheckpointError
from tests.coverage.tiny import save_tiny
from tests.support.checkpoints import save_sentencepiece, save_tokenizer


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
    """The tokenizers' Rust printed it unescaped, into the one JSON document of --json."""
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


IDS = {
    "albert": [2, 5, 7, 8, 3],
    "camembert": [5, 7, 9, 10, 6],
    "deberta-v2": [1, 5, 7, 8, 2],
    "marian": [2, 4, 5, 0],
    "mbart": [4, 6, 7, 2, 46],
    "pegasus": [106, 108, 109, 1],
    "t5": [3, 5, 6, 1],
    "xlm-roberta": [0, 4, 6, 7, 2],
}
"""The tokens of "the ferry leaves" with a handwritten vocabulary in transformers 5.23 and 5.24: its numbers, offset as in each model
type, between that type's special tokens."""


@pytest.mark.parametrize("model_type", IDS)
def test_a_tokenizer_that_is_a_sentencepiece_model_alone_is_loaded(model_type: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")
    tokenizer = load_tokenizer(save_sentencepiece(tmp_path, model_type))
    assert tokenizer is not None
    assert tokenizer("the ferry leaves")["input_ids"] == IDS[model_type]


@pytest.mark.parametrize("name", ["tokenizer.model", "tiktoken.model"])
def test_a_tokenizer_in_tiktokens_format_is_loaded(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    save_tiktoken(tmp_path / name)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer is not None
    assert tokenizer("the fern")["input_ids"] == [257, 258, *b"ern"]


def save_tiktoken(path: Path) -> None:
    pieces = [*(bytes([byte]) for byte in range(256)), b"th", b"the", b" f"]
    path.write_text("".join(f"{b64encode(piece).decode()} {rank}\n" for rank, piece in enumerate(pieces)), encoding="ascii")


@pytest.mark.parametrize(
    ("package", "model_types"),
    [("sentencepiece", ["t5", "marian", "deberta-v2"]), ("tiktoken", ["llama"])],
    ids=["sentencepiece", "tiktoken"],
)
def test_a_package_that_a_tokenizer_needs_and_is_not_installed_is_named(package: str, model_types: list[str], tmp_path: Path) -> None:
    """One process for each package, which imports all that a tokenizer needs."""
    folders = [tmp_path / model_type for model_type in model_types]
    for folder in folders:
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"model_type": folder.name}), encoding="utf-8")
        if package == "tiktoken":
            save_tiktoken(folder / "tiktoken.model")
        else:
            save_sentencepiece(folder, folder.name)
    command = [sys.executable, "-c", _WITHOUT, package, *folders]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout
    for folder, line in zip(folders, output.splitlines()[-len(folders) :], strict=True):
        sentence = f"the tokenizer of {folder} needs the package {package}, which is not installed"
        assert json.loads(line) == [sentence, f"install it: pip install {package}"]


_WITHOUT = """
import json, sys
from importlib.machinery import PathFinder
from pathlib import Path

class Hidden(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] == sys.argv[1] else super().find_spec(name, path, target)

sys.meta_path = [Hidden if each is PathFinder else each for each in sys.meta_path]
from converter.checkpoints.loading import load_tokenizer
from converter.core.errors import CheckpointError
for folder in sys.argv[2:]:
    try:
        load_tokenizer(Path(folder))
    except CheckpointError as error:
        print(json.dumps([error.message, error.hint]))
"""


def test_a_module_of_another_name_that_is_missing_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    def load(*_: object, **__: object) -> None:
        try:
            raise ModuleNotFoundError("No module named 'sacremoses'", name="sacremoses")
        except ModuleNotFoundError as error:
            raise ImportError("you need to install it") from error

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", load)
    with pytest.raises(CheckpointError, match="needs the package sacremoses, which is not installed"):
        load_tokenizer(save_tokenizer(tmp_path, "input_ids"))
