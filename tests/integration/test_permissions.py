"""A pickle or code in a checkpoint is refused unless allowed, and the record names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from tests.hub_server import HubClient, HubServer
from tests.support.checkpoints import save_tiny

CODE = """
from transformers import BertForMaskedLM

class Doubled(BertForMaskedLM):
    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, **kwargs):
        outputs = super().forward(input_ids, attention_mask, token_type_ids, **kwargs)
        outputs.logits = outputs.logits * 2
        return outputs
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("plain"), "bert", "AutoModelForMaskedLM")


@pytest.fixture(scope="module")
def plain_artifact(plain: Path, client: HubClient, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact") / "onnx"
    client("onnx", f"--model={plain}", folder)
    return folder


@pytest.fixture(scope="module")
def pickled(plain: Path) -> dict[str, bytes]:
    weights = plain.parent / "pytorch_model.bin"
    torch.save(load_file(plain / "model.safetensors"), weights)
    return {"config.json": (plain / "config.json").read_bytes(), "pytorch_model.bin": weights.read_bytes()}


@pytest.fixture(scope="module")
def with_code(plain: Path) -> dict[str, bytes]:
    config = json.loads((plain / "config.json").read_bytes())
    config["auto_map"] = {"AutoModelForMaskedLM": "modeling.Doubled"}
    return {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": (plain / "model.safetensors").read_bytes(),
        "modeling.py": CODE.encode(),
    }


def _source(folder: Path) -> dict[str, Any]:
    source: dict[str, Any] = json.loads((folder / "converter.json").read_bytes())["source"]
    return source


def _logits(folder: Path) -> Any:
    ids = np.arange(8, dtype=np.int64)[None]
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return onnxruntime.InferenceSession(folder / "model.onnx").run(None, inputs)[0]


def test_a_pickle_is_taken_where_it_is_allowed_and_nobody_else_is_asked_to_convert_it(
    hub: HubServer, client: HubClient, pickled: dict[str, bytes], plain_artifact: Path, tmp_path: Path
) -> None:
    hub.add_repository("org/pickled", {**pickled, "tf_model.h5": b"another framework's"})
    refused = client("onnx", "--model=org/pickled", tmp_path / "onnx", expect=1)
    assert "org/pickled has its weights as a pickle only" in refused.err and "--allow-pickle" in refused.err
    assert not any("pytorch_model.bin" in request for request in hub.requests)
    client("onnx", "--model=org/pickled", "--allow-pickle", tmp_path / "onnx")
    assert _source(tmp_path / "onnx")["pickle"] and not _source(plain_artifact)["pickle"]
    assert np.array_equal(_logits(tmp_path / "onnx"), _logits(plain_artifact))
    asked = {request.partition(" ")[2].partition("?")[0] for request in hub.requests}
    assert all(path.startswith(("/api/models/org/pickled", "/org/pickled/resolve/")) for path in asked)
    assert not any(path.endswith(("discussions", "tf_model.h5")) for path in asked)


def test_safetensors_are_taken_even_where_a_pickle_is_allowed(client: HubClient, plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "both"
    folder.mkdir()
    for path in plain.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"no pickle at all")
    client("onnx", f"--model={folder}", "--allow-pickle", tmp_path / "onnx")
    assert not _source(tmp_path / "onnx")["pickle"]


def test_a_pickle_in_shards_is_taken_too(client: HubClient, plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sharded"
    folder.mkdir()
    weights = list(load_file(plain / "model.safetensors").items())
    (folder / "config.json").write_bytes((plain / "config.json").read_bytes())
    shards = {f"pytorch_model-0000{number}-of-00002.bin": weights[number - 1 :: 2] for number in (1, 2)}
    for name, part in shards.items():
        torch.save(dict(part), folder / name)
    index = {"metadata": {}, "weight_map": {key: name for name, part in shards.items() for key, _ in part}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    client("onnx", f"--model={folder}", "--allow-pickle", tmp_path / "onnx")
    assert _source(tmp_path / "onnx")["pickle"]


class Malicious:
    """A pickle that runs code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


def test_a_pickle_that_does_something_is_not_run_even_where_it_is_allowed(client: HubClient, plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "malicious"
    folder.mkdir()
    (folder / "config.json").write_bytes((plain / "config.json").read_bytes())
    torch.save({"bert.embeddings.word_embeddings.weight": Malicious(tmp_path / "was here")}, folder / "pytorch_model.bin")
    said = client("onnx", f"--model={folder}", "--allow-pickle", tmp_path / "onnx", expect=1)
    assert "transformers cannot load the weights" in said.err
    assert not (tmp_path / "was here").exists()


def test_code_is_run_where_it_is_allowed_and_its_commit_is_named(
    hub: HubServer, client: HubClient, with_code: dict[str, bytes], plain_artifact: Path, tmp_path: Path
) -> None:
    commit = hub.add_repository("org/code", with_code)
    refused = client("onnx", "--model=org/code", tmp_path / "onnx", expect=1)
    assert "org/code has its own code (auto_map), which is not allowed" in refused.err
    for name in ("org/code", "org/code@main"):
        refused = client("onnx", f"--model={name}", "--trust-remote-code", tmp_path / "onnx", expect=1)
        assert f"{name} may bring other code tomorrow" in refused.err and f"org/code@{commit}" in refused.err
    assert not any(request.endswith("modeling.py") for request in hub.requests)
    client("onnx", f"--model=org/code@{commit}", "--trust-remote-code", tmp_path / "onnx")
    assert _source(tmp_path / "onnx")["code"] and not _source(plain_artifact)["code"]
    assert np.allclose(_logits(tmp_path / "onnx"), _logits(plain_artifact) * 2, atol=1e-5)


def test_code_of_another_repository_is_never_run(client: HubClient, with_code: dict[str, bytes], tmp_path: Path) -> None:
    for name, text in (("config.json", "org/other--modeling.Doubled"), ("tokenizer_config.json", "org/other--tokenization.Mine")):
        folder = tmp_path / name
        folder.mkdir()
        for file, content in with_code.items():
            (folder / file).write_bytes(content)
        there = json.loads((folder / name).read_bytes()) if (folder / name).exists() else {}
        (folder / name).write_text(json.dumps({**there, "auto_map": {"AutoModelForMaskedLM": text, "AutoTokenizer": [None, text]}}))
        said = client("onnx", f"--model={folder}", "--trust-remote-code", tmp_path / "onnx", expect=1)
        assert f"{name} of {folder} names code of another repository" in said.err


def test_a_record_allows_nothing(client: HubClient, pickled: dict[str, bytes], tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    for name, content in pickled.items():
        (folder / name).write_bytes(content)
    client("onnx", f"--model={folder}", "--allow-pickle", tmp_path / "onnx")
    assert "as a pickle only" in client("validate", tmp_path / "onnx", "--reference", folder, expect=1).err
    client("validate", tmp_path / "onnx", "--reference", folder, "--allow-pickle")
