"""Every request to the Hub: repeated after a transient failure, an error with a message after others.

The client's error is never kept as a cause: its headers have the token, and upload addresses are signed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from json import JSONDecodeError
from logging import ERROR, WARNING, getLogger
from typing import TYPE_CHECKING, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception

from converter.core.errors import CheckpointError, ConverterError
from converter.hub.errors import LONGEST_PAUSE, TransientError, describe_error, no_room, root_of, sentence, untrusted_certificate

if TYPE_CHECKING:
    import httpx2

ATTEMPTS = 6
"""Of one question; with the pauses between them, 1, 2, 4, 8 and 15 s, half a minute is waited."""
_FEWER_ATTEMPTS = 3
"""Nobody listens at the address, or another server."""
_LONGEST_PAUSE = 15.0  # seconds
_TIMEOUT = 180.0  # seconds without a byte; the client's own has none
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_MOVED_ON = frozenset({409, 412})
"""A commit whose parent is not the head any more, or a concurrent one."""

_log = getLogger("converter.hub")
_T = TypeVar("_T")


def request(
    call: Callable[[], _T],
    repository: str,
    revision: str | None = None,
    kind: type[ConverterError] = CheckpointError,
    *,
    is_new: bool = False,
) -> _T:
    """The result of `call`, which may be called several times. Raises `kind`, with a message about `repository`, after a failure.

    A repository that `is_new` may not be visible yet.
    """

    def may_pass(error: BaseException) -> bool:
        return _is_transient(error) or (is_new and _is_not_there(error))

    policy = Retrying(retry=retry_if_exception(may_pass), stop=_is_enough, wait=_pause, before_sleep=_log_retry, sleep=pause, reraise=True)
    try:
        for attempt in policy:
            with attempt, _our_way():
                return call()
    except Exception as error:
        problem = sentence(error, repository, revision, kind)
        if problem is None:
            raise
        problem.is_transient = _is_transient(error)
    assert problem
    raise problem  # outside of the handler, so that the client's error is not its context


@contextmanager
def _our_way() -> Iterator[None]:
    """The client with our settings during a request: no progress bars, no warnings (they quote signed addresses), and timeouts.

    Its own retries are off: it would sleep for any Retry-After, and read some answers before their status.
    """
    import httpx2
    from huggingface_hub import get_session
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    session, level, has_bars = get_session(), logging.get_verbosity(), not are_progress_bars_disabled()
    timeout, hooks = session.timeout, session.event_hooks
    session.timeout, session.event_hooks = httpx2.Timeout(_TIMEOUT), {**hooks, "response": [*hooks["response"], _stop]}
    disable_progress_bars()
    logging.set_verbosity(ERROR if level == WARNING else level)  # WARNING is its default
    try:
        yield
    finally:
        session.timeout, session.event_hooks = timeout, hooks
        logging.set_verbosity(level)
        if has_bars:
            enable_progress_bars()


def _stop(response: httpx2.Response) -> None:
    """Raise for an answer that may pass, before anybody else sees it."""
    if response.status_code in _TRANSIENT:
        raise TransientError(response.status_code, _requested_pause(response.headers))


def pause(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def _is_transient(error: BaseException) -> bool:
    import httpx2
    from huggingface_hub import errors

    error = root_of(error)
    if isinstance(error, TransientError):
        return error.pause <= LONGEST_PAUSE
    if isinstance(error, errors.HfHubHTTPError):
        return error.response.status_code in _MOVED_ON
    ours = (ConverterError, errors.OfflineModeIsEnabled, httpx2.LocalProtocolError, httpx2.UnsupportedProtocol, httpx2.TooManyRedirects)
    if isinstance(error, ours) or no_room(error) or untrusted_certificate(error):
        return False
    # hf-xet raises RuntimeError, and OSError without a number for a file that is too short
    is_transient = (httpx2.HTTPError, ConnectionError, TimeoutError, JSONDecodeError, RuntimeError)
    return isinstance(error, is_transient) or (type(error) is OSError and error.errno is None)


def _is_not_there(error: BaseException) -> bool:
    from huggingface_hub import errors

    return isinstance(error, errors.RepositoryNotFoundError | errors.RevisionNotFoundError)


def _is_enough(state: RetryCallState) -> bool:
    import httpx2

    most = _FEWER_ATTEMPTS if isinstance(root_of(_error(state)), httpx2.ConnectError | JSONDecodeError) else ATTEMPTS
    return state.attempt_number >= most


def _pause(state: RetryCallState) -> float:
    """Seconds to the next attempt: as long as the Hub asks, otherwise twice as long each time."""
    error = root_of(_error(state))
    asked = error.pause if isinstance(error, TransientError) else 0.0
    return asked or min(2.0 ** (state.attempt_number - 1), _LONGEST_PAUSE)


def _log_retry(state: RetryCallState) -> None:
    _log.warning("Hub request failed (%s); retrying in %.0f s", describe_error(root_of(_error(state))), _pause(state))


def _error(state: RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    assert error is not None
    return error


def _requested_pause(headers: Mapping[str, str]) -> float:
    """The pause in seconds that the Hub requests, by Retry-After or its rate limit; 0 for none."""
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # it is in its __init__

    asked = headers.get("Retry-After", "").strip()
    if asked.isdigit():
        return float(asked)
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds()) + 1
    limit = parse_ratelimit_headers(headers)
    return limit.reset_in_seconds + 1.0 if limit and limit.remaining == 0 else 0.0
