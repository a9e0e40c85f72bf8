"""Commits, pull requests and repositories. Each call may be repeated, see `until_done`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from converter.core.errors import CardError, PushError
from converter.hub.errors import hub_message
from converter.hub.retry import request

_T = TypeVar("_T")

_SENT_WITH_THE_COMMIT = 10 * 2**20
"""Bytes; the Hub takes no larger file within a commit."""

_WRITES = ("admin", "write", "contributor")


@dataclass(frozen=True)
class Account:
    """The account of the token. `organisations` has the role in each, empty if unknown; None if the Hub does not list them."""

    name: str
    organisations: Mapping[str, str] | None
    only_reads: bool

    def may_create_in(self, namespace: str) -> bool:
        """Whether it may make a repository there, as far as that can be known."""
        owned = namespace.casefold() == self.name.casefold()
        return owned or self.organisations is None or self.organisations.get(namespace) in (*_WRITES, "")


@dataclass(frozen=True)
class Addition:
    """A file to commit: its path in the repository, its contents, and the sha256 that these must have."""

    path: str
    content: Path | bytes
    sha256: str


@dataclass(frozen=True)
class CommitContents:
    """The contents of a commit to make: files to add, paths to delete, and its message."""

    additions: Iterable[Addition]
    deletions: Iterable[str]
    title: str
    text: str


@dataclass(frozen=True)
class Commit:
    """A commit that was made. `pull_request` is the number of the one that was opened with it."""

    sha: str
    url: str
    pull_request: int | None = None


@dataclass(frozen=True)
class PullRequest:
    """A pull request; `status` is draft, open, closed or merged."""

    number: int
    title: str
    status: str

    @property
    def revision(self) -> str:
        return f"refs/pr/{self.number}"

    @property
    def waits(self) -> bool:
        """Whether it can still be merged."""
        return self.status in ("open", "draft")


def until_done(attempt: Callable[[], _T], repository: str) -> _T:
    """Call `attempt` until it succeeds. It has to look at the repository first, because an earlier attempt may have succeeded
    unnoticed.

    Raises PushError if it does not succeed.
    """
    return request(attempt, repository, kind=PushError)


def address(repository: str, rest: str) -> str:
    """The web address of something in a repository, without a user name or password in HF_ENDPOINT."""
    from huggingface_hub import constants

    scheme, _, host = constants.ENDPOINT.rpartition("://")
    return f"{scheme}{'://' if scheme else ''}{host.rpartition('@')[2]}/{repository}/{rest}"


def find(repository: str) -> str | None:
    """The current id of a repository; None if this account cannot see one. Raises PushError."""
    from huggingface_hub import HfApi, errors

    def look() -> str | None:
        try:
            return str(HfApi().model_info(repository).id)
        except errors.GatedRepoError:
            return repository
        except errors.RepositoryNotFoundError:
            return None

    return request(look, repository, kind=PushError)


def account() -> Account:
    """The account of the token and its permissions. Raises PushError without a token."""
    from huggingface_hub import whoami

    # kept by the client for each token, as the Hub grudges this answer
    answer = request(lambda: whoami(cache=True), "your account", kind=PushError)
    organisations = (
        {str(organisation.get("name")): str(organisation.get("roleInOrg") or "") for organisation in answer["orgs"]}
        if "orgs" in answer
        else None
    )
    return Account(str(answer.get("name", "")), organisations, _only_reads(answer))


def may_commit(repository: str, *, create_pr: bool, revision: str = "main") -> None:
    """Find out before any work is done that nothing can be committed. Raises PushError.

    It is the first question of every upload, how a file would be kept, and nothing is uploaded.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    request(
        lambda: HfApi().preupload_lfs_files(
            repository, [CommitOperationAdd("README.md", b"may I")], revision=revision, create_pr=create_pr or None
        ),
        repository,
        None if revision == "main" else revision,
        PushError,
    )


def create_repository(repository: str, *, private: bool) -> None:
    """Create a repository, or leave an existing one as it is. Raises PushError."""
    from huggingface_hub import HfApi

    def create() -> None:
        with suppress(KeyError):  # the address of an existing one, which the answer may lack
            HfApi().create_repo(repository, private=private or None, exist_ok=True)

    request(create, repository, kind=PushError)


def create_branch(repository: str, branch: str, revision: str) -> None:
    """Create a branch at `revision`, or leave an existing one as it is. Raises PushError."""
    from huggingface_hub import HfApi

    request(lambda: HfApi().create_branch(repository, branch=branch, revision=revision, exist_ok=True), repository, kind=PushError)


def pull_requests(repository: str, author: str) -> list[PullRequest]:
    """Every pull request of an author to a repository, the latest first. Raises PushError."""
    from huggingface_hub import HfApi

    discussions = request(
        lambda: list(HfApi().get_repo_discussions(repository, author=author, discussion_type="pull_request")), repository, kind=PushError
    )
    theirs = [
        PullRequest(discussion.num, discussion.title, discussion.status)
        for discussion in discussions
        if discussion.is_pull_request and discussion.author == author
    ]
    return sorted(theirs, key=lambda request: -request.number)


def commit(repository: str, contents: CommitContents, *, parent: str, revision: str, create_pr: bool) -> Commit:
    """Make one commit on `parent`, empty for an empty repository, or a pull request with it. One attempt, for `until_done`.

    Before the commit the sha256 of each upload is compared with the expected one. Raises PushError for a mismatch, CardError if the Hub
    refuses the card, and any error of the client.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    expected = [(CommitOperationAdd(addition.path, _held(addition.content)), addition.sha256) for addition in contents.additions]
    added = [operation for operation, _ in expected]
    HfApi().preupload_lfs_files(repository, added, revision=revision, create_pr=create_pr, free_memory=False)
    changed = [operation.path_in_repo for operation, sha256 in expected if operation.upload_info.sha256.hex() != sha256]
    if changed:
        raise PushError(f"{changed[0]} was changed while it was pushed", "convert again; only validated files are pushed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the Hub's wishes for the card
            made = HfApi().create_commit(
                repository,
                [*added, *(CommitOperationDelete(path, is_folder=False) for path in contents.deletions)],
                commit_message=contents.title,
                commit_description=contents.text,
                revision=revision,
                parent_commit=parent or None,
                create_pr=create_pr,
            )
    except ValueError as error:  # the client's error for /api/validate-yaml; HfHubHTTPError is a ValueError too for status 400
        if "metadata in README.md" not in str(error):
            raise
        refused = str(error).partition("\n")[2]
    else:
        return Commit(made.oid, made.commit_url, made.pr_num)
    raise CardError(f"the Hub refuses the card of {repository}: {hub_message(refused)}")


def _held(content: Path | bytes) -> Path | bytes:
    """Read files once that the client would read twice, to hash and to send them with the commit; larger ones are uploaded separately."""
    return content.read_bytes() if isinstance(content, Path) and content.stat().st_size <= _SENT_WITH_THE_COMMIT else content


def _only_reads(answer: Mapping[str, Any]) -> bool:
    """Whether a token has no write access anywhere; a fine-grained token lists its permissions."""
    token = (answer.get("auth") or {}).get("accessToken") or {}
    if token.get("role") != "fineGrained":
        return bool(token.get("role") == "read")
    scopes: Sequence[Mapping[str, Any]] = (token.get("fineGrained") or {}).get("scoped") or ()
    listed = [
        *((token.get("fineGrained") or {}).get("global") or ()),
        *(permission for scope in scopes for permission in scope.get("permissions") or ()),
    ]
    return not {"repo.write", "discussion.write"} & set(listed)
