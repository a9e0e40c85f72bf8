"""The client is as its user left it when we have asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from huggingface_hub import get_session
from huggingface_hub.utils import logging
from huggingface_hub.utils.tqdm import are_progress_bars_disabled

from converter.core.errors import CheckpointError
from converter.hub.retry import request


def _state() -> tuple[object, ...]:
    session = get_session()
    return session.timeout, session.event_hooks, logging.get_verbosity(), are_progress_bars_disabled()


def _fail() -> None:
    raise CheckpointError("no")


@pytest.mark.parametrize("call", [lambda: None, _fail])
def test_what_we_change_of_the_client_is_changed_back(call: Callable[[], None]) -> None:
    before, during = _state(), []
    try:
        request(lambda: during.append(_state()) or call(), "org/name")  # type: ignore[func-returns-value]
    except CheckpointError:
        assert call is _fail
    assert _state() == before and during[0] != before
