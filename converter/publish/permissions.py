"""Checks before any work: a token, and its write access to the destinations."""

from __future__ import annotations

from dataclasses import replace

from converter import hub
from converter.checkpoints.source import is_hub_id, is_revision
from converter.core.errors import AccessError, PushError, UsageError
from converter.publish.push import Target


def check_account() -> hub.Account:
    """Whose token it is. Raises AccessError for none, and for one that only reads."""
    account = hub.account()
    if account.only_reads:
        raise AccessError(f"the token of {account.name} may only read", "set HF_TOKEN to a token with write access")
    return account


def check_source(target: Target) -> Target:
    """The target, a checkpoint's own repository, by its current name. Raises AccessError without write access."""
    repository = hub.look(target.repository, None, PushError).repository
    hub.may_commit(repository, create_pr=target.create_pr)
    return replace(target, repository=repository)


def check_target(target: Target, account: hub.Account) -> Target:
    """The target with its owner, by default the account.

    Raises UsageError for an impossible repository or branch, AccessError without write access, PushError if the Hub does not answer.
    """
    repository = target.repository if "/" in target.repository else f"{account.name}/{target.repository}"
    if not is_hub_id(repository):
        raise UsageError(f"{repository!r} cannot be a repository", "give a name of letters, digits, '-', '_' and '.', as org/name")
    if not is_revision(target.branch) or target.branch.startswith("refs/"):
        raise UsageError(f"{target.branch!r} cannot be a branch", "give a name of letters, digits, '-', '_', '.' and '/'")
    there = hub.find(repository)
    if there:
        hub.may_commit(there, create_pr=target.create_pr)
    elif target.create_pr:
        raise PushError(f"no repository {repository} to open a pull request in", "leave out --create-pr, and it is made")
    elif not account.may_create_in(repository.partition("/")[0]):
        raise AccessError(f"no repository {repository}, and {account.name} may not create it", "push to a repository of yours")
    return replace(target, repository=there or repository)
