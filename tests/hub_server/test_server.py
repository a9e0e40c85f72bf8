"""The server is a Hub to the real huggingface_hub client."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.hub_server import OWNER_TOKEN, HubServer

FILES: Mapping[str, bytes] = {
    "config.json": b'{"model_type": "bert"}',
    "1_Pooling/config.json": b"{}",
    "model.safetensors": bytes(3_000_000),
}

# Reads {"case": [function, arguments, keyword arguments]} and prints {"case": value or error}.
_CALLS = """
import dataclasses, json, sys
from huggingface_hub import HfApi, hf_hub_download

def model_info(*args, **kwargs):
    info = HfApi().model_info(*args, files_metadata=True, **kwargs)
    return {"sha": info.sha, "gated": info.gated, "files": [dataclasses.asdict(file) for file in info.siblings]}

def tree(*args, **kwargs):
    return [entry.path for entry in HfApi().list_repo_tree(*args, recursive=True, **kwargs)]

def checked(repository, revision):
    return HfApi().verify_repo_checksums(repository, revision=revision).checked_count

calls = {"info": model_info, "tree": tree, "download": hf_hub_download, "checked": checked}
told = {}
for case, (call, args, kwargs) in json.loads(sys.argv[1]).items():
    try:
        told[case] = calls[call](*args, **kwargs)
    except Exception as error:
        told[case] = f"{type(error).__name__} {error.response.status_code}"
print(json.dumps(told))
"""


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


def _ask(hub: HubServer, home: Path, **cases: tuple[str, list[str], dict[str, str]]) -> dict[str, Any]:
    answers: dict[str, Any] = json.loads(hub.run_client(_CALLS, json.dumps(cases), home=home).stdout)
    return answers


def test_the_client_lists_and_downloads_a_commit_by_branch_tag_and_sha(hub: HubServer, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(FILES["model.safetensors"])
    first = hub.add_repository("org/name", {**FILES, "model.safetensors": weights})
    second = hub.add_repository("org/name", {"config.json": b"{}"})
    tag = hub.add_repository("org/name", FILES, revision="release/v1")
    answers = _ask(
        hub,
        tmp_path / "home",
        branch=("info", ["org/name"], {"revision": "main"}),
        unnamed=("info", ["org/name"], {}),
        tag=("info", ["org/name"], {"revision": "release/v1"}),
        commit=("info", ["org/name"], {"revision": first}),
        tree=("tree", ["org/name"], {"revision": first}),
        folder=("tree", ["org/name", "1_Pooling"], {"revision": first}),
        config=("download", ["org/name", "config.json"], {"revision": first}),
        nested=("download", ["org/name", "1_Pooling/config.json"], {"revision": first}),
        weights=("download", ["org/name", "model.safetensors"], {"revision": first}),
        checked=("checked", ["org/name", first], {}),
    )
    assert len({first, second, tag}) == 3
    assert [answers[case]["sha"] for case in ("branch", "unnamed", "tag", "commit")] == [second, second, tag, first]
    assert f"GET /api/models/org/name/revision/{first}?blobs=true" in hub.requests
    assert "GET /api/models/org/name/revision/release%2Fv1?blobs=true" in hub.requests
    listed = {file["rfilename"]: file for file in answers["commit"]["files"]}
    assert {name: file["size"] for name, file in listed.items()} == {name: len(content) for name, content in FILES.items()}
    assert listed["model.safetensors"]["lfs"]["sha256"] == hashlib.sha256(FILES["model.safetensors"]).hexdigest()
    assert answers["tree"] == sorted(FILES)
    assert answers["folder"] == ["1_Pooling/config.json"]
    for case, name in {"config": "config.json", "nested": "1_Pooling/config.json", "weights": "model.safetensors"}.items():
        assert Path(answers[case]).read_bytes() == FILES[name]
    assert answers["checked"] == len(FILES)


def test_the_client_raises_what_the_hub_means_by_each_refusal(hub: HubServer, tmp_path: Path) -> None:
    hub.add_repository("org/open", FILES)
    hub.add_repository("org/gated", FILES, gated=True)
    hub.add_repository("org/private", FILES, private=True)
    hub.add_repository("org/broken", FILES)
    hub.fail("models/org/broken", status=503)
    answers = _ask(
        hub,
        tmp_path,
        repository=("info", ["org/none"], {}),
        revision=("info", ["org/open"], {"revision": "none"}),
        file=("download", ["org/open", "none.json"], {}),
        gated=("download", ["org/gated", "config.json"], {}),
        gated_to_a_stranger=("download", ["org/gated", "config.json"], {"token": "hf_stranger"}),
        gated_to_its_owner=("download", ["org/gated", "config.json"], {"token": OWNER_TOKEN}),
        private=("info", ["org/private"], {}),
        private_to_a_stranger=("info", ["org/private"], {"token": "hf_stranger"}),
        private_to_its_owner=("download", ["org/private", "config.json"], {"token": OWNER_TOKEN}),
        broken=("info", ["org/broken"], {}),
        mended=("tree", ["org/broken"], {}),
    )
    downloads = [answers.pop("gated_to_its_owner"), answers.pop("private_to_its_owner")]
    assert [Path(path).read_bytes() for path in downloads] == [FILES["config.json"]] * 2
    assert answers == {
        "repository": "RepositoryNotFoundError 401",
        "revision": "RevisionNotFoundError 404",
        "file": "RemoteEntryNotFoundError 404",
        "gated": "GatedRepoError 401",
        "gated_to_a_stranger": "GatedRepoError 403",
        "private": "RepositoryNotFoundError 401",
        "private_to_a_stranger": "RepositoryNotFoundError 401",
        "broken": "HfHubHTTPError 503",
        "mended": sorted(FILES),
    }


@pytest.mark.parametrize(
    ("asked", "content", "range_"),
    [("bytes=2-", b"2345", "bytes 2-5/6"), ("bytes=1-3", b"123", "bytes 1-3/6"), ("bytes=4-99", b"45", "bytes 4-5/6")],
)
def test_a_range_is_that_part_of_the_file(hub: HubServer, asked: str, content: bytes, range_: str) -> None:
    hub.add_repository("name", {"file": b"012345"})
    with urllib.request.urlopen(urllib.request.Request(f"{hub.url}/name/resolve/main/file", headers={"Range": asked})) as reply:
        assert (reply.status, reply.read(), reply.headers["Content-Range"]) == (206, content, range_)


def test_a_range_behind_the_end_is_refused(hub: HubServer) -> None:
    hub.add_repository("name", {"file": b"012345"})
    with pytest.raises(urllib.error.HTTPError, match="416") as refused:
        urllib.request.urlopen(urllib.request.Request(f"{hub.url}/name/resolve/main/file", headers={"Range": "bytes=6-"}))
    refused.value.close()
