"""The permissions of a token, as far as the Hub lists them."""

from __future__ import annotations

from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from converter.hub import account, address

FINE = {
    "role": "fineGrained",
    "fineGrained": {"global": [], "scoped": [{"entity": {"type": "user"}, "permissions": ["repo.content.read"]}]},
}
FINE_WRITE = {
    "role": "fineGrained",
    "fineGrained": {"scoped": [{"entity": {"type": "org"}, "permissions": ["repo.content.read", "repo.write"]}]},
}
FINE_PR = {"role": "fineGrained", "fineGrained": {"global": ["discussion.write"], "scoped": []}}


@pytest.mark.parametrize(
    ("token", "only_reads"),
    [({"role": "read"}, True), ({"role": "write"}, False), (FINE, True), (FINE_WRITE, False), (FINE_PR, False), ({}, False), (None, False)],
)
def test_a_token_that_is_known_to_read_alone_is_told(monkeypatch: pytest.MonkeyPatch, token: Any, only_reads: bool) -> None:
    monkeypatch.setattr(huggingface_hub, "whoami", lambda **_: {"name": "me", "auth": {"accessToken": token}})
    assert account().only_reads is only_reads


@pytest.mark.parametrize(
    ("answer", "may"),
    [
        ({}, True),
        ({"orgs": []}, False),
        ({"orgs": [{"name": "org"}]}, True),
        ({"orgs": [{"name": "org", "roleInOrg": "write"}]}, True),
        ({"orgs": [{"name": "org", "roleInOrg": "read"}]}, False),
    ],
)
def test_an_organisation_is_written_to_as_far_as_its_role_is_known(monkeypatch: pytest.MonkeyPatch, answer: Any, may: bool) -> None:
    monkeypatch.setattr(huggingface_hub, "whoami", lambda **_: {"name": "me", **answer})
    assert [account().may_create_in(name) for name in ("me", "Me", "org")] == [True, True, may]


def test_an_address_has_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "https://user:secret@hub.example")
    assert address("org/name", "commit/a") == "https://hub.example/org/name/commit/a"
