"""What is found out before any work is done: whether there is a token that may write where the artifacts are to go."""

from __future__ import annotations

from dataclasses import replace

from converter import hub
from converter.checkpoints.source import is_hub_id, is_revision
from converter.core.errors import AccessError, PushError, UsageError
from converter.push.push import Target


def check_account() -> hub.Account:
    """Whose token it is. Raises AccessError for none, and for one that only reads."""
    account = hub.account()
    if account.only_reads:
        raise AccessError(f"the token of {account.name} may only read", "set HF_TOKEN to a token with write access")
    return account


def check_source(target: Target) -> Target:
    """The target, a checkpoint's own repository, by the name that it goes by today. Raises AccessError for what may not be written to."""
    repository = hub.look(target.repository, None, PushError).repository
    hub.may_commit(repository, create_pr=target.create_pr)
    return replace(target, repository=repository)


def check_target(target: Target, account: hub.Account) -> Target:
    """The target with its owner, where it has none the account.

    Raises UsageError for what can be no repository or branch, AccessError for what the account may not write to, PushError where
    the Hub cannot be asked.
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
        raise PushError(f"there is no repository {repository} to open a pull request in", "leave out --create-pr, and it is made")
    elif not account.may_create_in(repository.partition("/")[0]):
        raise AccessError(f"there is no repository {repository}, and {account.name} may not make one there", "push to one of your own")
    return replace(target, repository=there or repository)
