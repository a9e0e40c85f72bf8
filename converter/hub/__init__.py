"""The Hugging Face Hub. The only package that imports huggingface_hub, always late: the import reads HF_* once.

`asking` puts every question: again where what went wrong may pass, and in a sentence, which is `telling`'s, where it does not.
`reading` looks at repositories and downloads, `writing` commits.
"""

from converter.hub.digests import digest_of
from converter.hub.download import Listing, RemoteFile, download, look, read_text, remember
from converter.hub.retry import pause
from converter.hub.upload import (
    Account,
    Addition,
    Commit,
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
    "Listing",
    "PullRequest",
    "RemoteFile",
    "account",
    "address",
    "commit",
    "create_branch",
    "create_repository",
    "digest_of",
    "download",
    "find",
    "look",
    "may_commit",
    "pause",
    "pull_requests",
    "read_text",
    "remember",
    "until_done",
]
