"""The Hub's writing: repositories, branches, uploads by LFS and xet, commits and pull requests."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import yaml

from tests.hub_server.replies import NAME, RefusedError, Reply, Request, json_reply
from tests.hub_server.repository import LARGE, Account, Blob, PullRequest, Repository

if TYPE_CHECKING:
    from tests.hub_server.server import HubServer


def who_am_i(hub: HubServer, request: Request) -> Reply:
    account = _account(hub, request)
    organisations = [{"name": name, "roleInOrg": "write"} for name in account.organisations]
    token = {"displayName": "a test's", "role": account.role}
    return json_reply({"type": "user", "name": account.name, "orgs": organisations, "auth": {"accessToken": token}})


def create_repository(hub: HubServer, request: Request) -> Reply:
    account, asked = _account(hub, request), request.json()
    name = f"{asked['organization'] or account.name}/{asked['name']}"
    if name in hub.repositories:
        return json_reply({"url": f"{hub.url}/{name}", "error": "You already created this model repo"}, 409)
    if not account.writes(name):
        raise RefusedError(403, "Forbidden", "You don't have the rights to create a model under this namespace")
    repository = hub.repositories[name] = Repository(name, private=asked.get("visibility") == "private")
    repository.commit("main", {".gitattributes": Blob(b"*.onnx filter=lfs\n")}, "initial commit")
    return json_reply({"url": f"{hub.url}/{name}", "name": name})


def create_branch(hub: HubServer, request: Request, name: str, branch: str) -> Reply:
    repository = _writable(hub, request, name)
    if branch in repository.refs:
        return json_reply({"error": "Reference already exists"}, 409)
    start = (request.json() if request.body else {}).get("startingPoint", "main")
    repository.refs[branch] = repository.refs.get(start, start)
    return json_reply({})


def preupload(hub: HubServer, request: Request, name: str, revision: str) -> Reply:
    repository = _writable(hub, request, name)
    there = repository.commits.get(repository.refs.get(revision, revision), {})

    def entry(file: Mapping[str, Any]) -> dict[str, Any]:
        path = file["path"]
        large = path.endswith(LARGE)
        blob = there.get(path)
        oid = None if blob is None else blob.sha256 if large else blob.oid
        return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}

    return json_reply({"files": [entry(file) for file in request.json()["files"]]})


def lfs_batch(hub: HubServer, request: Request, name: str) -> Reply:
    hub.repository(name, request.token)
    objects = []
    for item in request.json()["objects"]:
        upload = {"href": f"{hub.url}/lfs/{item['oid']}?X-Amz-Signature=sssssssssss"}
        objects.append(item if item["oid"] in hub.storage else {**item, "actions": {"upload": upload}})
    return json_reply({"transfer": "basic", "objects": objects})


def lfs_upload(hub: HubServer, request: Request, oid: str) -> Reply:
    """The storage is not the Hub: its address is signed, and nobody's token is to come this far."""
    assert request.token is None, "the client sent its token to the storage"
    if hashlib.sha256(request.body).hexdigest() != oid:
        return Reply(400)
    hub.storage[oid] = Blob(request.body)
    return Reply()


def xet_token(hub: HubServer, request: Request, name: str, revision: str) -> Reply:
    hub.repository(name, request.token)
    assert hub.xet_storage, f"no place for xet uploads to {name}@{revision}"
    return json_reply({"accessToken": "xet", "exp": int(time.time()) + 3600, "casUrl": f"local://{hub.xet_storage}"})


def validate_yaml(hub: HubServer, request: Request) -> Reply:
    text = request.json()["content"]
    try:
        metadata = yaml.safe_load(text.split("---")[1]) if text.startswith("---") else {}
        assert isinstance(metadata, dict)
        errors = [f'"{key}" is not allowed' for key in metadata if key in hub.refused_metadata]
    except (yaml.YAMLError, AssertionError, IndexError):
        errors = ["YAML Metadata Error"]
    if errors:
        return json_reply({"errors": [{"message": error} for error in errors], "warnings": []}, 400)
    return json_reply({"errors": [], "warnings": [] if metadata else [{"message": "empty or missing yaml metadata in repo card"}]})


def commit(hub: HubServer, request: Request, name: str, revision: str) -> Reply:
    repository, account = _writable(hub, request, name), _account(hub, request)
    if revision not in repository.refs:
        raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    head = repository.refs[revision]
    lines = [json.loads(line) for line in request.body.splitlines()]
    header = lines[0]["value"]
    if header.get("parentCommit", head) != head:
        raise RefusedError(412, "PreconditionFailed", "A commit has happened since. Please refresh and try again.")
    files = dict(repository.commits[head])
    for path, blob in _operations(hub, lines[1:]):
        if blob is None:
            if path not in files:
                raise RefusedError(404, "EntryNotFound", "A file with this name doesn't exist")
            del files[path]
        else:
            files[path] = blob
    ref, answer = revision, {"success": True}
    if _creates_pr(request):
        number = len(repository.pull_requests) + 1
        repository.pull_requests.append(PullRequest(number, header["summary"], account.name, header["description"]))
        ref = f"refs/pr/{number}"
        answer["pullRequestUrl"] = f"{hub.url}/{name}/discussions/{number}"
    sha = repository.commit(ref, files, header["summary"], head)
    return json_reply({**answer, "commitOid": sha, "commitUrl": f"{hub.url}/{name}/commit/{sha}"})


def discussions(hub: HubServer, request: Request, name: str) -> Reply:
    repository = hub.repository(name, request.token)
    start = int(parse_qs(request.query).get("p", ["0"])[0]) * hub.page_size
    entries = [
        {
            "num": pull_request.number,
            "title": pull_request.title,
            "author": {"name": pull_request.author},
            "status": pull_request.status,
            "isPullRequest": True,
            "createdAt": "2026-01-01T00:00:00.000Z",
            "repo": {"name": name, "type": "model"},
        }
        for pull_request in repository.pull_requests[start : start + hub.page_size]
    ]
    return json_reply({"discussions": entries, "count": len(repository.pull_requests), "start": start})


ROUTES: tuple[tuple[str, str, Callable[..., Reply]], ...] = (
    ("GET", "/api/whoami-v2", who_am_i),
    ("POST", "/api/repos/create", create_repository),
    ("POST", "/api/validate-yaml", validate_yaml),
    ("POST", rf"/api/models/{NAME}/branch/(?P<branch>[^/]+)", create_branch),
    ("POST", rf"/api/models/{NAME}/preupload/(?P<revision>[^/]+)", preupload),
    ("GET", rf"/api/models/{NAME}/xet-write-token/(?P<revision>[^/]+)", xet_token),
    ("POST", rf"/api/models/{NAME}/commit/(?P<revision>[^/]+)", commit),
    ("GET", rf"/api/models/{NAME}/discussions", discussions),
    ("POST", rf"/{NAME}\.git/info/lfs/objects/batch", lfs_batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", lfs_upload),
)


def _operations(hub: HubServer, lines: list[dict[str, Any]]) -> Iterator[tuple[str, Blob | None]]:
    """The path and the new contents of each file of a commit; None for one that is deleted."""
    for line in lines:
        value = line["value"]
        if line["key"] == "file":
            yield value["path"], Blob(base64.b64decode(value["content"]))
        elif line["key"] == "lfsFile":
            known = Blob(known=(value["oid"], value["size"])) if hub.xet_storage else None
            blob = hub.storage.get(value["oid"], known)
            if blob is None:
                raise RefusedError(400, "BadRequest", f"no object {value['oid']} was uploaded")
            yield value["path"], blob
        else:
            assert line["key"] == "deletedFile"
            yield value["path"], None


def _account(hub: HubServer, request: Request) -> Account:
    account = hub.accounts.get(request.token or "")
    if account is None:
        raise RefusedError(401, "Unauthorized", "Invalid credentials in Authorization header")
    return account


def _creates_pr(request: Request) -> bool:
    return parse_qs(request.query).get("create_pr") == ["1"]


def _writable(hub: HubServer, request: Request, name: str) -> Repository:
    """A repository that the account may write to; anybody with write access somewhere may offer a pull request, and add to it."""
    account, repository = _account(hub, request), hub.repository(name, request.token)
    to_pr = _creates_pr(request) or "refs%2Fpr%2F" in request.path
    if account.writes(name) or (to_pr and account.role == "write"):
        return repository
    raise RefusedError(403, "Forbidden", "you don't have write access")
