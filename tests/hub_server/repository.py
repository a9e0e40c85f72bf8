"""The contents of a Hub: accounts, repositories, their commits, branches and pull requests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from io import BufferedReader, BytesIO
from pathlib import Path

OWNER_TOKEN = "hf_ownerownerowner"
READER_TOKEN = "hf_readerreaderreader"
STRANGER_TOKEN = "hf_strangerstranger"
LARGE = (".safetensors", ".onnx", ".onnx_data", ".bin", ".pt")  # kept by git LFS, so known by the sha256 of their contents


@dataclass(frozen=True)
class Account:
    """The account of a token. It may write to its own repositories and those of its organisations."""

    name: str
    role: str = "write"
    organisations: tuple[str, ...] = ()

    def writes(self, repository: str) -> bool:
        namespace = repository.partition("/")[0]
        return self.role == "write" and (namespace == self.name or namespace in self.organisations)


ACCOUNTS = {
    OWNER_TOKEN: Account("owner", organisations=("org",)),
    READER_TOKEN: Account("reader", role="read", organisations=("org",)),
    STRANGER_TOKEN: Account("stranger"),
}


@dataclass(frozen=True)
class Blob:
    """A file's contents, in memory or on disk; `known` is the sha256 and size of one that xet's storage has and we cannot read."""

    content: bytes | Path = b""
    known: tuple[str, int] | None = None

    def open(self) -> BytesIO | BufferedReader:
        assert self.known is None, "only hf-xet reads this one"
        return BytesIO(self.content) if isinstance(self.content, bytes) else open(self.content, "rb")

    @property
    def size(self) -> int:
        if self.known:
            return self.known[1]
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    @property
    def sha256(self) -> str:
        if self.known:
            return self.known[0]
        with self.open() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def oid(self) -> str:
        """The name that git gives to it; to the pointer of a large file that we do not have."""
        if self.known:
            return hashlib.sha1(self.known[0].encode()).hexdigest()
        with self.open() as file:
            return hashlib.sha1(b"blob %d\0" % self.size + file.read()).hexdigest()


@dataclass
class PullRequest:
    """A pull request; its commits are at `refs/pr/N`."""

    number: int
    title: str
    author: str
    text: str
    status: str = "open"

    @property
    def revision(self) -> str:
        return f"refs/pr/{self.number}"


@dataclass
class Repository:
    """A repository: of each commit its files, its message and its parent; which commit each branch, tag and pull request names."""

    name: str
    gated: bool = False
    private: bool = False
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    parents: dict[str, str | None] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    pull_requests: list[PullRequest] = field(default_factory=list)

    def commit(self, ref: str, files: dict[str, Blob], message: str, parent: str | None = None) -> str:
        """Make a commit of `files`, and no others, and let `ref` name it; return its sha."""
        tree = "".join(f"{path}\0{blob.sha256}\n" for path, blob in sorted(files.items()))
        sha = hashlib.sha1(f"{self.name}\0{len(self.commits)}\0{tree}".encode()).hexdigest()
        self.commits[sha], self.messages[sha], self.parents[sha], self.refs[ref] = files, message, parent, sha
        return sha

    def log(self, ref: str = "main") -> list[str]:
        """The commit messages of a branch, latest first."""
        sha, messages = self.refs.get(ref), []
        while sha:
            messages.append(self.messages[sha])
            sha = self.parents[sha]
        return messages

    def merge(self, number: int) -> str:
        """Merge a pull request of which main has nothing that it has not."""
        self.pull_requests[number - 1].status = "merged"
        self.refs["main"] = self.refs[f"refs/pr/{number}"]
        return self.refs["main"]
