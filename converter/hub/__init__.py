"""The Hugging Face Hub. Only this package imports huggingface_hub, always late, because the import reads HF_* once.

`retry` sends every request, and repeats it after a transient failure. `errors` words failures. `download` reads repositories,
`upload` commits. `card` finds the metadata of a model card.
"""

from converter.hub.card import metadata_span
from converter.hub.digests import digest_of
from converter.hub.download import Listing, RemoteFile, cache_folders, download, look, read_text, remember
from converter.hub.retry import pause
from converter.hub.upload import (
    Account,
    Addition,
    Commit,
    CommitContents,
    PullRequest,
    account,
    address,
    commit,
    create_branch,
    create_repository,
    find,
    may_commit,
    pull_requests,
    until_done,
)

__all__ = [
    "Account",
    "Addition",
    "Commit",
    "CommitContents",
    "Listing",
    "PullRequest",
    "RemoteFile",
    "account",
    "address",
    "cache_folders",
    "commit",
    "create_branch",
    "create_repository",
    "digest_of",
    "download",
    "find",
    "look",
    "may_commit",
    "metadata_span",
    "pause",
    "pull_requests",
    "read_text",
    "remember",
    "until_done",
]
