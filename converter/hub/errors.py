"""Messages for errors of the client. They never quote a request."""

from __future__ import annotations

import errno
import os
import re
import ssl
from json import JSONDecodeError
from pathlib import Path

from converter.core.errors import AccessError, CheckpointError, ConverterError, PushError, RevisionError

LONGEST_PAUSE = 301.0
"""Seconds: a longer pause is an error. The Hub counts requests in windows of five minutes, and a second is added to its answer."""


_NO_ROOM = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}

_UNTRUSTED = re.compile(r"(?:certificate verify failed|invalid peer certificate): ([^(\n]*[^(\s.])")
"""In a text of OpenSSL, and in one of hf-xet."""
_NOT_VALID = ("expired", "not yet valid", "mismatch", "not valid for")
"""Reasons that no further authority helps against."""


class TransientError(Exception):
    """A transient answer of the Hub, with the requested `pause` in seconds; 0 if unknown."""

    def __init__(self, status: int, pause: float) -> None:
        super().__init__(f"status {status}")
        self.status, self.pause = status, pause


def root_of(error: BaseException) -> BaseException:
    """The answer or failure behind an error of the client."""
    from huggingface_hub import errors

    while isinstance(error, RuntimeError | errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def no_room(error: BaseException) -> str:
    """The reason if this machine has no room for a file; empty for other errors. hf-xet has the system's error in its text only."""
    import httpx2

    if isinstance(error, httpx2.HTTPError) or not isinstance(error, OSError | RuntimeError):
        return ""
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        text = str(error)
        match = re.search(r"\(os error (\d+)\)", text)
        number = int(match[1]) if match else next((number for number in _NO_ROOM if os.strerror(number) in text), None)
    return _NO_ROOM.get(number or 0, "")


def untrusted_certificate(error: BaseException) -> str:
    """The reason if a server's certificate is not trusted; empty for other errors. The reason is in a cause of httpx's error."""
    import httpx2

    link: BaseException | None = error
    while link is not None:
        match = _UNTRUSTED.search(str(link))
        if isinstance(link, ssl.SSLCertVerificationError) or (match and isinstance(link, httpx2.ConnectError | RuntimeError)):
            return match[1] if match else str(link)
        link = link.__cause__ or link.__context__
    return ""


def describe_error(error: BaseException) -> str:
    from huggingface_hub import errors

    if isinstance(error, TransientError):
        return str(error)
    return f"status {error.response.status_code}" if isinstance(error, errors.HfHubHTTPError) else type(error).__name__


def sentence(error: Exception, repository: str, revision: str | None, kind: type[ConverterError]) -> ConverterError | None:
    """The message for an error of the client; None for errors with a message, or of another origin."""
    import httpx2
    from huggingface_hub import errors

    named = f"{repository}@{revision}" if revision else repository
    if isinstance(error, ConverterError):
        return None
    if isinstance(error, errors.GatedRepoError):  # a subclass of RepositoryNotFoundError, so it comes first
        return kind(f"{repository} is gated", "accept its terms on the Hub and set HF_TOKEN to a token of yours")
    if isinstance(error, errors.RepositoryNotFoundError):
        return kind(
            f"{repository} is not on the Hub, or is private",
            "check the spelling; for a private one set HF_TOKEN; a local path starts with ./",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        kind = RevisionError if kind is PushError else kind
        return kind(f"{repository} has no revision {revision!r}", "name a branch, a tag or a commit that exists")
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return kind(f"a listed file of {named} is missing", "try again later")
    if isinstance(error, errors.LocalTokenNotFoundError):
        return AccessError("no token found, which a push needs", "set HF_TOKEN to a token with write access")
    if isinstance(error, UnicodeEncodeError | httpx2.LocalProtocolError):  # a header is ASCII, and all else in it is ours
        return kind("HF_TOKEN holds a character that no token has", "copy the token again, whole")
    return _internal_error(root_of(error), named, kind)


def _internal_error(error: BaseException, named: str, kind: type[ConverterError]) -> ConverterError | None:
    import httpx2

    # a login page of the network's, say; a push does more than to ask, so that there a KeyError may be a bug of ours
    if isinstance(error, JSONDecodeError | httpx2.DecodingError) or (isinstance(error, KeyError) and kind is CheckpointError):
        return kind(f"the server that answered for {named} is not a Hub", "check the network and HF_ENDPOINT")
    if reason := untrusted_certificate(error):
        authority = "set SSL_CERT_FILE to a PEM file with the certificate authority of your network"
        clock = "check the clock of this machine and HF_ENDPOINT"
        return kind(
            f"the certificate of the server that answered for {named} is not trusted: {reason}",
            clock if any(words in reason for words in _NOT_VALID) else authority,
        )
    if isinstance(error, FileNotFoundError | ssl.SSLError) and not error.filename:  # of the client's TLS settings
        return kind("SSL_CERT_FILE names no file of certificates", "set it to a PEM file, or unset it")
    if reason := no_room(error):
        folder, variable = _folder_of(kind)
        return kind(
            f"no room for {named} in {folder}: {reason}", f"free some space, or set {variable} to a folder on a disk with more room"
        )
    if isinstance(error, OSError) and error.filename:
        return kind(f"{error.filename} cannot be read or written: {error.strerror}", "check its permissions and the disk")
    if isinstance(error, httpx2.HTTPError | OSError | RuntimeError | TransientError):
        return _unanswered(error, named, kind)
    if isinstance(error, ValueError) and "LFS batch API" in str(error):  # the client's name for errors in the Hub's answer
        words = hub_message(str(error).partition("\n")[2])
        return kind(f"the Hub refuses an upload to {named}: {words}", "see its message")
    return None


def _folder_of(kind: type[ConverterError]) -> tuple[str, str]:
    """Where the client writes, for downloads or for uploads, and the variable that names it."""
    from huggingface_hub import constants

    cache, variable = (constants.HF_HUB_CACHE, "HF_HUB_CACHE") if kind is CheckpointError else (constants.HF_XET_CACHE, "HF_XET_CACHE")
    return cache, "HF_HOME" if Path(cache).is_relative_to(constants.HF_HOME) else variable


def _unanswered(error: BaseException, named: str, kind: type[ConverterError]) -> ConverterError:
    from huggingface_hub import errors

    if isinstance(error, errors.OfflineModeIsEnabled):
        return kind(f"{named} cannot be fetched, because HF_HUB_OFFLINE is set", "unset it, or name a local folder")
    if isinstance(error, TransientError):
        return _answered(error.status, error.pause, "", named, kind)
    if isinstance(error, errors.HfHubHTTPError):
        return _answered(error.response.status_code, 0.0, error.server_message or "", named, kind)
    return kind(
        f"the Hub could not be reached for {named}: {type(error).__name__}",
        "check the network, HF_ENDPOINT and the cache's folder; HF_HUB_OFFLINE=1 uses the cache"
        if kind is CheckpointError
        else "check the network and HF_ENDPOINT, then push again; finished pushes are not repeated",
    )


def hub_message(text: str) -> str:
    """Words of the Hub's that may be shown: in a line, not too long, and without the token, should it have come back."""
    from huggingface_hub import get_token

    return " ".join(text.replace(get_token() or "\0", "…").split())[:200]


def _answered(status: int, pause: float, words: str, named: str, kind: type[ConverterError]) -> ConverterError:
    if kind is PushError and status == 401:
        return AccessError("the Hub does not know the token (status 401)", "set HF_TOKEN to a token with write access, whole")
    if kind is PushError and status == 403:
        return AccessError(
            f"you may not write to {named}: the Hub answered with status {status}",
            "set HF_TOKEN to a token with write access to it, or offer the artifacts as a pull request",
        )
    if pause > LONGEST_PAUSE:
        return kind(f"the Hub requests a pause of {pause:.0f} s for {named}", "try again later")
    if words and status in (400, 413, 422):
        return kind(f"the Hub refused the request for {named} (status {status}): {hub_message(words)}", "see its message")
    return kind(f"the Hub answered {named} with status {status}", "check HF_TOKEN" if status in (401, 403) else "try again later")
