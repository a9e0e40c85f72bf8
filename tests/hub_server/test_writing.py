"""The server accepts the real huggingface_hub client's writes, and fails on request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub_server import OWNER_TOKEN, READER_TOKEN, STRANGER_TOKEN, HubServer

# Executes each of [[function, arguments, keyword arguments]] and prints its result or error.
_CALLS = """
import json, sys, time
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

time.sleep = lambda seconds: None
api = HfApi()

def commit(name, files, deleted=(), **kwargs):
    operations = [CommitOperationAdd(path, text.encode()) for path, text in files.items()]
    made = api.create_commit(name, [*operations, *map(CommitOperationDelete, deleted)], commit_message="mine", **kwargs)
    return [made.oid, made.pr_num]

def requests(name):
    return [[each.num, each.title, each.author, each.status] for each in api.get_repo_discussions(name)]

calls = {
    "commit": commit,
    "requests": requests,
    "create": lambda name, **kwargs: str(api.create_repo(name, **kwargs)),
    "branch": lambda name, **kwargs: api.create_branch(name, **kwargs),
    "whoami": lambda: api.whoami()["name"],
    "tree": lambda name: [entry.path for entry in api.list_repo_tree(name, recursive=True)],
}
told = []
for call, args, kwargs in json.loads(sys.argv[1]):
    try:
        told.append(calls[call](*args, **kwargs))
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", "")
        told.append(f"{type(error).__name__} {status}".strip())
print(json.dumps(told))
"""


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


def _do(hub: HubServer, home: Path, *calls: tuple[Any, ...], token: str = OWNER_TOKEN, **variables: str) -> list[Any]:
    asked = json.dumps([(name, args, kwargs) for name, args, kwargs in calls])
    answers: list[Any] = json.loads(hub.run_client(_CALLS, asked, home=home, HF_TOKEN=token, **variables).stdout)
    return answers


def test_the_client_makes_a_repository_a_branch_commits_and_a_pull_request(hub: HubServer, tmp_path: Path) -> None:
    who, url, again, first, branch, on_it, offered, listed = _do(
        hub,
        tmp_path,
        ("whoami", [], {}),
        ("create", ["new"], {"private": True}),
        ("create", ["new"], {"exist_ok": True}),
        ("commit", ["owner/new", {"a.txt": "a", "onnx/m.onnx": "weights", "b.txt": "b"}], {}),
        ("branch", ["owner/new"], {"branch": "x/y"}),
        ("commit", ["owner/new", {"a.txt": "A"}, ["b.txt"]], {"revision": "x/y"}),
        ("commit", ["owner/new", {"README.md": "---\nlicense: mit\n---\n"}], {"create_pr": True}),
        ("requests", ["owner/new"], {}),
    )
    assert (who, url, again, branch) == ("owner", f"{hub.url}/owner/new", f"{hub.url}/owner/new", None)
    repository = hub.repositories["owner/new"]
    assert repository.private and repository.refs["main"] == first[0] and repository.refs["x/y"] == on_it[0]
    assert hub.read("owner/new", "onnx/m.onnx") == b"weights"
    assert set(hub.files("owner/new", "x/y")) == {".gitattributes", "a.txt", "onnx/m.onnx"}
    assert (offered[1], listed) == (1, [[1, "mine", "owner", "open"]])
    assert hub.read("owner/new", "README.md", "refs/pr/1") == b"---\nlicense: mit\n---\n"
    assert repository.log() == ["mine", "initial commit"]


def test_who_may_not_write_is_refused(hub: HubServer, tmp_path: Path) -> None:
    hub.add_repository("org/name", {})
    for token in (READER_TOKEN, STRANGER_TOKEN):
        answers = _do(hub, tmp_path, ("commit", ["org/name", {"a": "a"}], {}), ("create", ["org/new"], {}), token=token)
        assert answers == ["HfHubHTTPError 403"] * 2
    assert _do(hub, tmp_path, ("commit", ["org/name", {"a": "a"}], {"create_pr": True}), token=STRANGER_TOKEN)[0][1] == 1
    assert _do(hub, tmp_path, ("whoami", [], {}), token="hf_nobody") == ["HfHubHTTPError 401"]


def test_a_stale_parent_a_bad_card_and_a_missing_file_are_refused(hub: HubServer, tmp_path: Path) -> None:
    stale = hub.add_repository("org/name", {})
    hub.add_repository("org/name", {"a": b""})
    assert _do(
        hub,
        tmp_path,
        ("commit", ["org/name", {"b": "b"}], {"parent_commit": stale}),
        ("commit", ["org/name", {"README.md": "---\n[\n---\n"}], {}),
        ("commit", ["org/name", {}, ["none"]], {}),
    ) == ["HfHubHTTPError 412", "ValueError", "RemoteEntryNotFoundError 404"]


def test_faults_come_as_they_were_ordered(hub: HubServer, tmp_path: Path) -> None:
    hub.add_repository("org/name", {})
    hub.fail("/commit/", status=429)
    hub.lose_reply("/commit/")
    hub.reset("PUT /lfs/", after=3, times=2)
    answers = _do(hub, tmp_path, *[("commit", ["org/name", {"m.onnx": f"weights {number}"}], {}) for number in range(3)])
    assert answers[:2] == ["HfHubHTTPError 429", "ReadError"]
    assert hub.repositories["org/name"].log() == ["mine", "mine", "a commit"]


def test_listings_come_in_pages(hub: HubServer, tmp_path: Path) -> None:
    hub.page_size = 2
    hub.add_repository("org/name", dict.fromkeys("abcde", b""))
    offers = [("commit", ["org/name", {"x": str(number)}], {"create_pr": True}) for number in range(3)]
    *_, tree, requests = _do(hub, tmp_path, *offers, ("tree", ["org/name"], {}), ("requests", ["org/name"], {}))
    assert tree == list("abcde")
    assert [number for number, *_ in requests] == [1, 2, 3]


def test_uploads_by_xet_are_kept_by_what_the_commit_says(hub: HubServer, tmp_path: Path) -> None:
    hub.xet_storage = tmp_path / "xet"
    hub.xet_storage.mkdir()
    hub.add_repository("org/name", {})
    _do(hub, tmp_path, ("commit", ["org/name", {"m.onnx": "weights"}], {}), HF_HUB_DISABLE_XET="0")
    assert hub.files("org/name")["m.onnx"].size == 7
    assert any(hub.xet_storage.rglob("*"))
