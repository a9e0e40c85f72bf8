"""A small Hub on loopback that the real huggingface_hub client reads from.

What a request is answered with is a `Reply`; which method answers it stands in `_ROUTES`. Writing means more routes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader, BytesIO
from pathlib import Path
from urllib.parse import unquote

OWNER_TOKEN = "hf_ownerownerowner"  # opens private and gated repositories; any other token is a stranger's
_LARGE = (".safetensors", ".onnx", ".onnx_data", ".bin")  # kept by git LFS, so known by the sha256 of their contents
_POINTER_SIZE = 134


@dataclass(frozen=True)
class Blob:
    """A file's contents, in memory or on disk."""

    content: bytes | Path

    def open(self) -> BytesIO | BufferedReader:
        return BytesIO(self.content) if isinstance(self.content, bytes) else open(self.content, "rb")

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    @property
    def sha256(self) -> str:
        with self.open() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def oid(self) -> str:
        """The name that git gives to it."""
        with self.open() as file:
            return hashlib.sha1(b"blob %d\0" % self.size + file.read()).hexdigest()


@dataclass
class Repository:
    """A repository: the files of each commit, and the commit that each branch and tag names."""

    gated: bool
    private: bool
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)


@dataclass
class Reply:
    """An answer; only that of a file (`blob`) heeds Range."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    blob: Blob = field(default_factory=lambda: Blob(b""))


class RefusedError(Exception):
    """An answer that is an error, with the code by which the client tells its kind."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.reply = Reply(status, {"X-Error-Code": code, "X-Error-Message": message})


@dataclass
class _Fault:
    fragment: str
    reply: Reply
    times: int


class HubServer:
    """The server, as a context manager; `requests` lists what was asked as "METHOD /path?query", quoted as it came."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.repositories: dict[str, Repository] = {}
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def add_repository(
        self, name: str, files: Mapping[str, bytes | Path], *, revision: str = "main", gated: bool = False, private: bool = False
    ) -> str:
        """Commit `files`, and no others, to a branch or tag of a repository that need not be there yet; return the commit's sha."""
        repository = self.repositories.setdefault(name, Repository(gated, private))
        blobs = {path: Blob(content) for path, content in files.items()}
        tree = "".join(f"{path}\0{blob.sha256}\n" for path, blob in sorted(blobs.items()))
        sha = hashlib.sha1(f"{name}\0{len(repository.commits)}\0{tree}".encode()).hexdigest()
        repository.commits[sha] = blobs
        repository.refs[revision] = sha
        return sha

    def fail(self, path_fragment: str, *, status: int, times: int = 1, headers: Mapping[str, str] | None = None) -> None:
        """Answer the next `times` requests whose method and path hold `path_fragment` with `status` and nothing else."""
        self._faults.append(_Fault(path_fragment, Reply(status, dict(headers or {})), times))

    def run_client(self, code: str, *arguments: str, home: Path, expect: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python code in a process whose huggingface_hub, which reads its variables at import, talks to this server.

        The process has to end with the exit code `expect`.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))}
        ours = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, env={**inherited, **ours, **variables}, capture_output=True, text=True, timeout=120)
        assert done.returncode == expect, done.stderr
        return done

    def answer(self, method: str, target: str, token: str | None) -> Reply:
        """Answer a request; `token` is what it is authorized by."""
        request = f"{method} {target}"
        with self._lock:
            self.requests.append(request)
            for fault in self._faults:
                if fault.times and fault.fragment in request:
                    fault.times -= 1
                    return fault.reply
        for verb, pattern, respond in _ROUTES:
            if method == verb and (match := re.fullmatch(pattern, target.partition("?")[0])):
                try:
                    return respond(self, token, **{group: unquote(text or "") for group, text in match.groupdict().items()})
                except RefusedError as refused:
                    return refused.reply
        return Reply(404)

    def _model_info(self, token: str | None, name: str, revision: str) -> Reply:
        repository, sha = self._commit(token, name, revision or "main")
        siblings = [
            {"rfilename": path, "size": blob.size, "blobId": blob.oid, **_lfs(path, blob, "sha256")}
            for path, blob in sorted(repository.commits[sha].items())
        ]
        gated = "manual" if repository.gated else False
        return _json({"id": name, "sha": sha, "private": repository.private, "gated": gated, "tags": [], "siblings": siblings})

    def _tree(self, token: str | None, name: str, revision: str, path: str) -> Reply:
        """Every file below `path` at once, which is what the client's `recursive` asks for."""
        repository, sha = self._commit(token, name, revision)
        below = {file: blob for file, blob in repository.commits[sha].items() if not path or file.startswith(f"{path}/")}
        if path and not below:
            raise RefusedError(404, "EntryNotFound", f"{path} does not exist on {revision!r}")
        return _json(
            [
                {"type": "file", "path": file, "size": blob.size, "oid": blob.oid, **_lfs(file, blob, "oid")}
                for file, blob in sorted(below.items())
            ]
        )

    def _file(self, token: str | None, name: str, revision: str, path: str) -> Reply:
        repository, sha = self._commit(token, name, revision)
        if repository.gated and token != OWNER_TOKEN:  # a gated repository hides its files, not what they are called
            raise RefusedError(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted.")
        blob = repository.commits[sha].get(path)
        if blob is None:
            raise RefusedError(404, "EntryNotFound", "Entry not found")
        etag = blob.sha256 if path.endswith(_LARGE) else blob.oid
        return Reply(200, {"ETag": f'"{etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}, blob)

    def _commit(self, token: str | None, name: str, revision: str) -> tuple[Repository, str]:
        repository = self.repositories.get(name)
        if repository is None:
            raise RefusedError(404 if token else 401, "RepoNotFound", "Repository not found")
        if repository.private and token != OWNER_TOKEN:
            raise RefusedError(401, "RepoNotFound", "Repository not found")
        sha = repository.refs.get(revision, revision)
        if sha not in repository.commits:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository, sha


_NAME = r"(?P<name>[^/]+(?:/[^/]+)?)"
_RESOLVE = rf"/{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)"
_ROUTES: tuple[tuple[str, str, Callable[..., Reply]], ...] = (
    ("GET", rf"/api/models/{_NAME}(?:/revision/(?P<revision>[^/]+))?", HubServer._model_info),
    ("GET", rf"/api/models/{_NAME}/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?", HubServer._tree),
    ("GET", _RESOLVE, HubServer._file),
    ("HEAD", _RESOLVE, HubServer._file),
)


def _json(value: object) -> Reply:
    return Reply(200, {"Content-Type": "application/json"}, Blob(json.dumps(value).encode()))


def _lfs(path: str, blob: Blob, digest: str) -> dict[str, object]:
    """What a listing adds for a file of git LFS; `digest` is what that listing calls the sha256."""
    return {"lfs": {digest: blob.sha256, "size": blob.size, "pointerSize": _POINTER_SIZE}} if path.endswith(_LARGE) else {}


class _Handler(BaseHTTPRequestHandler):
    """HTTP around `HubServer.answer`: reads the token and the range, sends the reply."""

    protocol_version = "HTTP/1.1"
    hub: HubServer

    def do_GET(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self._send(self.hub.answer(self.command, self.path, token or None))

    do_HEAD = do_GET  # noqa: N815 - the base class looks for this name

    def _send(self, reply: Reply) -> None:
        size = reply.blob.size
        start, end = 0, size
        if "Accept-Ranges" in reply.headers and (asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))):
            start, end = int(asked[1]), min(int(asked[2] or size) + 1, size)
            if start < end:
                reply = Reply(206, {**reply.headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"}, reply.blob)
            else:
                reply, start, end = Reply(416, {"Content-Range": f"bytes */{size}"}), 0, 0
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(end - start)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with reply.blob.open() as file:
                file.seek(start)
                while start < end and (chunk := file.read(min(end - start, 1 << 20))):
                    self.wfile.write(chunk)
                    start += len(chunk)

    def log_message(self, *_: object) -> None:
        """Say nothing: `HubServer.requests` has it."""
