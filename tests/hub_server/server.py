"""A small Hub on loopback for the real huggingface_hub client.

Every answer is a `Reply`; `_ROUTES` maps requests to functions, those for writing in `writing.py`. Faults are requested in advance: an
error, a reset, a lost or slow answer, wrong bytes.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from tests.hub_server import writing
from tests.hub_server.replies import NAME, RefusedError, Reply, Request, json_reply
from tests.hub_server.repository import ACCOUNTS, LARGE, Account, Blob, Repository

_POINTER_SIZE = 134


@dataclass
class _Fault:
    """What happens to the next `times` requests with this in their method and path: `reply` instead of an answer, or one of the rest."""

    fragment: str
    times: int
    reply: Reply | None = None
    loses_reply: bool = False
    resets_after: int | None = None
    ends_after: int | None = None
    seconds: float = 0.0
    action: Callable[[], object] | None = None


class HubServer:
    """The server, as a context manager; `requests` lists requests as "METHOD /path?query", quoted as received.

    With `certificate`, a PEM file of a certificate and its key, it speaks TLS.

    `storage` has uploads by sha256, `moved` the new names of repositories, `refused_metadata` forbidden metadata of a card. Uploads by
    xet need `xet_storage`, a folder. `tokens` and `ranges` come from requests.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.requests: list[str] = []
        self.ranges: list[str] = []
        self.tokens: set[str] = set()
        self.repositories: dict[str, Repository] = {}
        self.accounts: dict[str, Account] = dict(ACCOUNTS)
        self.storage: dict[str, Blob] = {}
        self.moved: dict[str, str] = {}
        self.refused_metadata: set[str] = set()
        self.xet_storage: Path | None = None
        self.page_size = 10
        self._faults: list[_Fault] = []
        self._wrong_bytes: dict[str, int] = {}
        self._lock = threading.RLock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self._http.server_address[1]}"

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
        repository = self.repositories.setdefault(name, Repository(name, gated, private))
        return repository.commit(
            revision, {path: Blob(content) for path, content in files.items()}, "a commit", repository.refs.get(revision)
        )

    def files(self, name: str, revision: str = "main") -> dict[str, Blob]:
        """The files of a repository."""
        repository = self.repositories[name]
        return repository.commits[repository.refs.get(revision, revision)]

    def read(self, name: str, path: str, revision: str = "main") -> bytes:
        """The contents of a file of a repository."""
        with self.files(name, revision)[path].open() as file:
            return file.read()

    def fail(self, path_fragment: str, *, status: int, times: int = 1, headers: Mapping[str, str] | None = None) -> None:
        """Answer the next `times` requests whose method and path hold `path_fragment` with `status` and nothing else."""
        self._faults.append(_Fault(path_fragment, times, Reply(status, dict(headers or {}))))

    def say(
        self, path_fragment: str, value: object, *, status: int = 200, times: int = 1, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer the next `times` requests with `value`: bytes unchanged, anything else as JSON."""
        reply = Reply(status, {}, Blob(value)) if isinstance(value, bytes) else json_reply(value, status)
        reply.headers.update(headers or {})
        self._faults.append(_Fault(path_fragment, times, reply))

    def reset(self, path_fragment: str, *, times: int = 1, after: int = 0) -> None:
        """Reset the connection of the next `times` requests after `after` bytes of their body, or of a GET's answer."""
        self._faults.append(_Fault(path_fragment, times, resets_after=after))

    def cut_off(self, path_fragment: str, after: int, *, times: int = 1) -> None:
        """End the connection of the next `times` of these, in good order, after `after` bytes of the answer."""
        self._faults.append(_Fault(path_fragment, times, ends_after=after))

    def lose_reply(self, path_fragment: str, *, times: int = 1) -> None:
        """Execute the next `times` requests, and reset the connection instead of answering."""
        self._faults.append(_Fault(path_fragment, times, loses_reply=True))

    def delay(self, path_fragment: str, seconds: float, *, times: int = 1) -> None:
        """Take `seconds` before each of the next `times` of these is answered."""
        self._faults.append(_Fault(path_fragment, times, seconds=seconds))

    def meanwhile(self, path_fragment: str, action: Callable[[], object], *, times: int = 1) -> None:
        """Do `action` before each of the next `times` of these is answered."""
        self._faults.append(_Fault(path_fragment, times, action=action))

    def end_faults(self) -> None:
        """Work again, whatever was ordered."""
        self._faults.clear()
        self._wrong_bytes.clear()

    def forget(self) -> None:
        """Be as new, at the same address."""
        self.end_faults()
        for kept in (self.requests, self.ranges, self.tokens, self.repositories, self.storage, self.moved, self.refused_metadata):
            kept.clear()

    def send_wrong_bytes(self, path: str, *, times: int = 1) -> None:
        """Send other bytes of the right size for the next `times` requests of a file's contents."""
        self._wrong_bytes[path] = times

    def environment(self, home: Path) -> dict[str, str]:
        """The variables of a process whose huggingface_hub, which reads them at import, talks to this server, by LFS."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))}
        ours = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }
        return {**inherited, **ours}

    def run_client(self, code: str, *arguments: str, home: Path, expect: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python code in a process of `environment`. The process has to end with the exit code `expect`."""
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, env={**self.environment(home), **variables}, capture_output=True, text=True, timeout=120)
        assert done.returncode == expect, done.stderr
        return done

    def fault(self, method: str, target: str) -> _Fault | None:
        """The fault that was ordered for a request, which is noted."""
        request = f"{method} {target}"
        with self._lock:
            self.requests.append(request)
            fault = next((candidate for candidate in self._faults if candidate.times and candidate.fragment in request), None)
            if fault:
                fault.times -= 1
        return fault

    def answer(self, request: Request) -> Reply:
        """Answer a request."""
        if request.token:
            self.tokens.add(request.token)
        for verb, pattern, respond in _ROUTES:
            if request.method == verb and (match := re.fullmatch(pattern, request.path)):
                groups = {group: unquote(text or "") for group, text in match.groupdict().items()}
                new_name = self.moved.get(groups.get("name", ""))
                if new_name:
                    query = f"?{request.query}" if request.query else ""
                    return Reply(307, {"Location": request.path.replace(groups["name"], new_name) + query})
                try:
                    with self._lock:
                        return respond(self, request, **groups)
                except RefusedError as refused:
                    return refused.reply
        return Reply(404)

    def repository(self, name: str, token: str | None) -> Repository:
        """A repository that this token may know of."""
        repository = self.repositories.get(name)
        if repository is None:
            raise RefusedError(404 if token else 401, "RepoNotFound", "Repository not found")
        if repository.private and not self._is_member(token, name):
            raise RefusedError(401, "RepoNotFound", "Repository not found")
        return repository

    def _is_member(self, token: str | None, name: str) -> bool:
        account = self.accounts.get(token or "")
        return account is not None and name.partition("/")[0] in (account.name, *account.organisations)

    def _model_info(self, request: Request, name: str, revision: str) -> Reply:
        repository, sha = self._commit(request, name, revision or "main")
        siblings = [
            {"rfilename": path, "size": blob.size, "blobId": blob.oid, **_lfs(path, blob, "sha256")}
            for path, blob in sorted(repository.commits[sha].items())
        ]
        gated = "manual" if repository.gated else False
        return json_reply({"id": name, "sha": sha, "private": repository.private, "gated": gated, "tags": [], "siblings": siblings})

    def _tree(self, request: Request, name: str, revision: str, path: str) -> Reply:
        """Every file below `path`, page by page, for the client's `recursive`."""
        repository, sha = self._commit(request, name, revision)
        below = {file: blob for file, blob in repository.commits[sha].items() if not path or file.startswith(f"{path}/")}
        if path and not below:
            raise RefusedError(404, "EntryNotFound", f"{path} does not exist on {revision!r}")
        listed = [
            {"type": "file", "path": file, "size": blob.size, "oid": blob.oid, **_lfs(file, blob, "oid")}
            for file, blob in sorted(below.items())
        ]
        query, _, cursor = request.query.partition("&cursor=")
        start = int(cursor or 0)
        reply = json_reply(listed[start : start + self.page_size])
        if start + self.page_size < len(listed):
            reply.headers["Link"] = f'<{self.url}{request.path}?{query}&cursor={start + self.page_size}>; rel="next"'
        return reply

    def _file(self, request: Request, name: str, revision: str, path: str) -> Reply:
        repository, sha = self._commit(request, name, revision)
        if repository.gated and not self._is_member(request.token, name):  # a gated repository hides its files, not their names
            raise RefusedError(403 if request.token else 401, "GatedRepo", f"Access to model {name} is restricted.")
        blob = repository.commits[sha].get(path)
        if blob is None:
            raise RefusedError(404, "EntryNotFound", "Entry not found")
        etag = blob.sha256 if path.endswith(LARGE) else blob.oid
        if request.method == "GET" and self._wrong_bytes.get(path):
            self._wrong_bytes[path] -= 1
            blob = Blob(bytes(blob.size))
        return Reply(200, {"ETag": f'"{etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}, blob)

    def _commit(self, request: Request, name: str, revision: str) -> tuple[Repository, str]:
        repository = self.repository(name, request.token)
        sha = repository.refs.get(revision, revision)
        if sha not in repository.commits:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository, sha


_RESOLVE = rf"/{NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)"
_ROUTES: tuple[tuple[str, str, Callable[..., Reply]], ...] = (
    *writing.ROUTES,
    ("GET", rf"/api/models/{NAME}/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?", HubServer._tree),
    ("GET", rf"/api/models/{NAME}(?:/revision/(?P<revision>[^/]+))?", HubServer._model_info),
    ("GET", _RESOLVE, HubServer._file),
    ("HEAD", _RESOLVE, HubServer._file),
)


def _lfs(path: str, blob: Blob, digest: str) -> dict[str, object]:
    """The listing's entry for a file in git LFS; `digest` is that listing's name for the sha256."""
    return {"lfs": {digest: blob.sha256, "size": blob.size, "pointerSize": _POINTER_SIZE}} if path.endswith(LARGE) else {}


class _Handler(BaseHTTPRequestHandler):
    """HTTP around `HubServer.answer`: reads token, body and range, sends the reply, and executes faults."""

    protocol_version = "HTTP/1.1"
    hub: HubServer

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that was killed, or that we have cut off
            super().handle()

    def do_GET(self) -> None:
        fault = self.hub.fault(self.command, self.path)
        if fault:
            time.sleep(fault.seconds)
        if fault and fault.action:
            fault.action()
        sends = self.command in ("POST", "PUT")
        if fault and fault.resets_after is not None and sends:
            self.rfile.read(min(fault.resets_after, int(self.headers.get("Content-Length", fault.resets_after))))
            return self._reset()
        body = self._body()
        path, _, query = self.path.partition("?")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if fault and fault.reply:
            return self._send(fault.reply)
        reply = self.hub.answer(Request(self.command, path, query, token or None, body))
        if fault and fault.loses_reply:
            return self._reset()
        if fault:
            reply.cut, reply.resets = (fault.resets_after, True) if fault.ends_after is None else (fault.ends_after, False)
        return self._send(reply)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - the base class looks for these names

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _reset(self) -> None:
        """End the connection with RST instead of FIN."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _send(self, reply: Reply) -> None:
        size = reply.blob.size
        start, end = 0, size
        if "Range" in self.headers:
            self.hub.ranges.append(self.headers["Range"])
        if "Accept-Ranges" in reply.headers and (asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))):
            start, end = int(asked[1]), min(int(asked[2] or size) + 1, size)
            if start < end:
                reply = Reply(
                    206, {**reply.headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"}, reply.blob, reply.cut, reply.resets
                )
            else:
                reply, start, end = Reply(416, {"Content-Range": f"bytes */{size}"}), 0, 0
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(end - start)}.items():
            self.send_header(name, value)
        self.end_headers()
        last = end if reply.cut is None else min(end, start + reply.cut)
        if self.command != "HEAD":
            with reply.blob.open() as file:
                file.seek(start)
                while start < last and (chunk := file.read(min(last - start, 1 << 20))):
                    self.wfile.write(chunk)
                    start += len(chunk)
        if reply.cut is not None:
            self.close_connection = True
            if reply.resets:
                time.sleep(0.2)  # a reset discards data in flight
                self._reset()

    def log_message(self, *_: object) -> None:
        """Say nothing: `HubServer.requests` has it."""
