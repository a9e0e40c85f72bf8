"""One batch of some seventy broken checkpoints, as a user's own command: each fails in a sentence, and the good one is converted."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkpoints import save_tiny, save_tokenizer

Run = Callable[..., "subprocess.CompletedProcess[str]"]

CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "layers": ({"num_hidden_layers": 10**9}, "claims num_hidden_layers 1,000,000,000, more than there are tensors"),
    "layers-without-end": ({"num_hidden_layers": 10**4000}, "claims num_hidden_layers of more than 30 digits"),
    "layers-below": ({"num_hidden_layers": -1}, "fewer than none"),
    "layers-nested": ({"text_config": {"n_layers": 10**9}}, "claims text_config.n_layers"),
    "layers-in-parts": ({"num_hidden_layers": 2.5}, "num_hidden_layers"),
    "layers-in-words": ({"num_hidden_layers": "two"}, "num_hidden_layers"),
    "layers-true": ({"num_hidden_layers": True}, "num_hidden_layers"),
    "labels": ({"num_labels": 10**9}, "claims num_labels"),
    "vocabulary": ({"vocab_size": 10**12}, "describes a model of 128,000.0 GB"),
    "vocabulary-nearly": ({"vocab_size": 10**8}, "describes a model of 12.8 GB"),
    "vocabulary-without-end": ({"vocab_size": 10**400}, "transformers cannot load the configuration"),
    "vocabulary-below": ({"vocab_size": -5}, "transformers cannot load the configuration"),
    "positions": ({"max_position_embeddings": 10**9}, "describes a model of 144.0 GB"),
    "width": ({"hidden_size": 10**7}, "describes a model"),
    "no-width": ({"hidden_size": 0}, "transformers cannot load the configuration"),
    "width-in-words": ({"hidden_size": "64"}, "hidden_size"),
    "width-of-infinity": ({"hidden_size": float("inf")}, "hidden_size"),
    "inner-width": ({"intermediate_size": 10**10}, "describes a model"),
    "heads": ({"num_attention_heads": 10**9}, "not a multiple"),
    "no-heads": ({"num_attention_heads": 0}, "transformers cannot load the configuration"),
    "not-a-number": ({"layer_norm_eps": float("nan")}, "the checkpoint itself gives NaN"),
    "activation": ({"hidden_act": {"a": 1}}, "hidden_act"),
    "activation-by-name": ({"hidden_act": "os.system"}, "KeyError"),
    "labels-as-a-list": ({"id2label": [1, 2]}, "transformers cannot load the configuration"),
    "quantised": ({"quantization_config": 5}, "quantization_config in config.json of ./quantised is not an object"),
    "type-a-list": ({"model_type": ["bert"]}, "has no model_type"),
    "type-a-dict": ({"model_type": {"a": "b"}}, "has no model_type"),
    "type-elsewhere": ({"model_type": "../x"}, "the architecture '../x' is not supported"),
    "type-ours": ({"model_type": "dummies"}, "the architecture 'dummies' is not supported"),
    "type-of-commands": ({"model_type": "\x1b[2J\x1b]0;owned\x07"}, "is not supported"),
    "type-without-end": ({"model_type": "b" * 10**6}, "has no model_type"),
    "classes": ({"architectures": [5, {}]}, "names a 5"),
    "code": ({"auto_map": {"AutoModel": "x--y.Z"}}, "has its own code"),
    "weights-elsewhere": ({"transformers_weights": "../../x.safetensors"}, "transformers cannot load the weights"),
}
"""Values in config.json, and their messages."""

_DEEP = "[" * 100_000
TEXTS: dict[str, tuple[str, bytes, str]] = {
    "config-empty": ("config.json", b"", "is not JSON"),
    "config-binary": ("config.json", bytes(range(256)), "is not UTF-8"),
    "config-utf16": ("config.json", '{"model_type": "bert"}'.encode("utf-16"), "is not UTF-8"),
    "config-deep": ("config.json", _DEEP.encode(), "is not JSON"),
    "config-digits": ("config.json", b'{"model_type": "bert", "x": ' + b"9" * 5000 + b"}", "is not JSON"),
    "config-large": ("config.json", b" " * (9 * 2**20), "has more than 8 MB"),
    "tokenizer-cut": ("tokenizer.json", b'{"version"', "transformers cannot load the tokenizer"),
    "tokenizer-deep": ("tokenizer.json", _DEEP.encode(), "transformers cannot load the tokenizer"),
    "tokenizer-empty": ("tokenizer.json", b"{}", "transformers cannot load the tokenizer"),
    "header-long": ("model.safetensors", (2**63).to_bytes(8, "little") + bytes(100), "damaged or cut short"),
    "header-empty": ("model.safetensors", bytes(8), "damaged or cut short"),
    "header-no-json": ("model.safetensors", (8).to_bytes(8, "little") + b"notjson!", "damaged or cut short"),
    "header-deep": ("model.safetensors", (100_000).to_bytes(8, "little") + _DEEP.encode(), "damaged or cut short"),
    "weights-empty": ("model.safetensors", b"", "damaged or cut short"),
    "weights-pickled": ("model.safetensors", b"\x80\x02}q\x00.", "damaged or cut short"),
}
"""Files that replace others."""

HEADERS: dict[str, dict[str, Any]] = {
    "dtype-unknown": {"dtype": "F31"},
    "dtype-a-list": {"dtype": ["F32"]},
    "offsets-below": {"data_offsets": [-8, 0]},
    "offsets-swapped": {"data_offsets": [8, 4]},
    "offsets-beyond": {"data_offsets": [0, 2**62]},
    "offsets-without-end": {"data_offsets": [0, 10**400]},
    "offsets-in-words": {"data_offsets": ["0", "8"]},
    "shape-without-end": {"shape": [2**40, 2**40]},
    "shape-below": {"shape": [-1]},
}
"""Changes to the first tensor in the header."""

INDICES: dict[str, tuple[str, str]] = {
    "shard-above": ("../../etc/passwd", "which is not a file beside it"),
    "shard-absolute": ("/etc/passwd", "which is not a file beside it"),
    "shard-missing": ("gone.safetensors", "lacks 1 of its 1 weight files"),
    "shard-of-commands": ("\x1b[2J", "which is not a file beside it"),
}
"""The shard that an index names."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with all of them, a manifest with a good one in the middle, and the message for each broken one."""
    folder = tmp_path_factory.mktemp("broken")
    good = save_tokenizer(save_tiny(folder / "good", "bert"), "input_ids", "attention_mask")
    sentences: dict[str, str] = {}

    def broken(name: str, sentence: str) -> Path:
        sentences[name] = sentence
        return Path(shutil.copytree(good, folder / name))

    for name, (changes, sentence) in CONFIGS.items():
        path = broken(name, sentence) / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    for name, (file, data, sentence) in TEXTS.items():
        (broken(name, sentence) / file).write_bytes(data)
    for name, change in HEADERS.items():
        _change_header(broken(name, "damaged or cut short") / "model.safetensors", change)
    for name, (shard, sentence) in INDICES.items():
        made = broken(name, sentence)
        (made / "model.safetensors").unlink()
        (made / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    for file in ("config.json", "tokenizer.json", "model.safetensors"):
        made = broken(f"pipe-{file}", f"{file} is neither a file nor a folder") / file
        made.unlink()
        os.mkfifo(made)
        made = broken(f"device-{file}", f"{file} is neither a file nor a folder") / file
        made.unlink()
        made.symlink_to("/dev/zero")
        made = broken(f"loop-{file}", f"{file} is a link that leads nowhere") / file
        made.unlink()
        made.symlink_to(made)
    made = broken("socket", "config.json is neither a file nor a folder") / "config.json"
    made.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(made))
    (broken("terabyte", "tokenizer.json of ./terabyte has 1,099,511,627,776 bytes") / "tokenizer.json").write_bytes(b"")
    os.truncate(folder / "terabyte" / "tokenizer.json", 2**40)
    names = [*sentences]
    names.insert(len(names) // 2, "good")
    (folder / "models.txt").write_text("".join(f"./{name}\n" for name in names))
    return folder, sentences


def _change_header(path: Path, change: dict[str, Any]) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    first = next(name for name in header if name != "__metadata__")
    header[first] |= change
    written = json.dumps(header).encode()
    path.write_bytes(len(written).to_bytes(8, "little") + written + data[8 + length :])


def test_each_broken_checkpoint_fails_in_a_sentence_and_the_good_one_in_the_middle_is_converted(
    workspace: tuple[Path, dict[str, str]], converter: Run, tmp_path: Path
) -> None:
    folder, sentences = workspace
    result = converter("run", "--manifest", folder / "models.txt", "--output", tmp_path / "out", "--json")
    assert result.returncode == 1, result.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report == json.loads(result.stdout)
    failures = {outcome["model"].removeprefix("./"): outcome["failure"] for outcome in report["outcomes"]}
    assert failures.pop("good") is None
    assert failures.keys() == sentences.keys() and len(sentences) > 70
    assert {name: failure["message"] for name, failure in failures.items() if sentences[name] not in failure["message"]} == {}
    for failure in failures.values():
        assert failure["hint"] and "internal error" not in failure["message"]
        assert len(failure["message"]) < 1000 and failure["message"].isprintable()
    assert "Traceback" not in result.stderr and "\x1b[2J" not in result.stdout + result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    left = {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {path.parts[0] for path in left if path.suffix != ".log"} == {"good", "report.json", "report.md", "report.html"}


@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "folder", "loop", "large"])
def test_a_manifest_that_is_none_is_a_usage_error_at_once(converter: Run, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "models.txt"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(path))
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        path.touch()
        os.truncate(path, 2**31)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path)
    result = converter("run", "--manifest", path, "--output", tmp_path / "out")
    assert result.returncode == 2
    assert "error: the manifest " in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
