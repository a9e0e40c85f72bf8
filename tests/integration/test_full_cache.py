"""The disk of the Hub's cache is full: it is reported as that, at once, and some room is all it takes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import hf_xet
import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save

from converter.core.errors import CheckpointError
from converter.hub.retry import request
from tests.hub_server import OWNER_TOKEN, HubClient, HubServer
from tests.support.checkpoints import save_tiny

HINT = "free some space, or set {variable} to a folder on a disk with more room"


def test_a_download_that_does_not_fit_is_reported_with_the_cache_at_once(hub: HubServer, small_disk: Path, tmp_path: Path) -> None:
    config = json.dumps({"model_type": "bert", "hidden_size": 8}).encode()
    hub.add_repository("org/large", {"config.json": config, "model.safetensors": save({"a": np.arange(2**20, dtype=np.float32)})})
    for variable, variables in (("HF_HUB_CACHE", {"HF_HUB_CACHE": str(small_disk / "hub")}), ("HF_HOME", {"HF_HOME": str(small_disk)})):
        with HubClient(hub, tmp_path / "home", **variables) as client:
            said = client("onnx", "--model=org/large", tmp_path / "out", expect=1)
        commit = hub.repositories["org/large"].refs["main"]
        assert f"error: no room for org/large@{commit} in {small_disk / 'hub'}: the disk is full" in said.err
        assert f"to do: {HINT.format(variable=variable)}" in said.err
        assert said.slept == [] and "Traceback" not in said.err
    assert not (tmp_path / "out").exists()
    assert list(small_disk.rglob("*.incomplete")) == []


def test_a_push_whose_cache_is_full_reports_it_too(hub: HubServer, small_disk: Path, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "tiny", "bert", "AutoModelForMaskedLM")
    hub.add_repository("org/tiny", {path.name: path for path in folder.iterdir()} | {"README.md": b"# Tiny\n" * 4096})
    (tmp_path / "models.txt").write_text("org/tiny\n")
    with HubClient(hub, tmp_path / "home") as client:
        client("--manifest", tmp_path / "models.txt", "--output", tmp_path / "out")
    _fill(small_disk)
    with HubClient(hub, small_disk) as client:
        said = client("push", tmp_path / "out" / "org" / "tiny", "--to", "org/tiny", token=OWNER_TOKEN, expect=1)
        assert f"in {small_disk / 'hub'}: the disk is full" in said.err and said.slept == []
        (small_disk / "full").unlink()
        assert "org/tiny: pushed" in client("push", tmp_path / "out" / "org" / "tiny", "--to", "org/tiny", token=OWNER_TOKEN).out


def _fill(disk: Path) -> None:
    with open(disk / "full", "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_that_hf_xet_meets_is_reported_likewise(small_disk: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(os.urandom(4 * 2**20))
    storage = {"endpoint": f"local://{tmp_path / 'storage'}", "token": "t", "token_expiry_unix_secs": int(time.time()) + 3600}
    (tmp_path / "storage").mkdir()
    session = hf_xet.XetSession()
    with session.new_upload_commit(**storage) as commit:
        upload = commit.start_upload_file(str(weights))
    calls: list[int] = []

    def download() -> None:
        calls.append(1)
        with session.new_file_download_group(**storage) as group:
            group.start_download_file(upload.result().xet_info, str(small_disk / "weights"))

    with pytest.raises(CheckpointError, match="the disk is full") as raised:
        request(download, "org/name")
    assert constants.HF_HUB_CACHE in raised.value.message and len(calls) == 1
