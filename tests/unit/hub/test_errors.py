"""An error of the client becomes a sentence about this machine or about the Hub."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from huggingface_hub import constants

from converter.core.errors import CheckpointError, ConverterError, PushError
from converter.hub import retry

FULL = {
    "of the system": (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "the disk is full"),
    "of the system, with the file": (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/hub/blobs/x"), "the disk is full"),
    "of a quota": (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "the disk quota is used up"),
    "of hf-xet": (RuntimeError("Task error: IO Error: No space left on device (os error 28)"), "the disk is full"),
    "of hf-xet, of a quota": (RuntimeError("Task error: IO Error: Disk quota exceeded (os error 122)"), "the disk quota is used up"),
    "of hf-xet, as a plain OSError": (OSError("IO Error: No space left on device"), "the disk is full"),
}


@pytest.mark.parametrize("case", FULL)
@pytest.mark.parametrize("kind", [CheckpointError, PushError])
def test_a_full_disk_is_this_machines_and_not_retried(case: str, kind: type[ConverterError]) -> None:
    error, reason = FULL[case]
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise error

    with pytest.raises(kind) as raised:
        retry.request(fail, "org/name", kind=kind)
    folder = constants.HF_HUB_CACHE if kind is CheckpointError else constants.HF_XET_CACHE
    assert raised.value.message == f"no room for org/name in {folder}: {reason}"
    assert not raised.value.is_transient and len(calls) == 1


@pytest.mark.parametrize(("cache", "variable"), [("home/hub", "HF_HOME"), ("elsewhere", "HF_HUB_CACHE")])
def test_the_variable_to_set_is_the_one_that_names_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str, variable: str
) -> None:
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / cache))

    def fail() -> None:
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(CheckpointError) as raised:
        retry.request(fail, "org/name")
    assert raised.value.hint == f"free some space, or set {variable} to a folder on a disk with more room"


def test_a_network_error_of_hf_xet_is_not_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "pause", lambda _: None)

    def fail() -> None:
        raise RuntimeError("connection refused (os error 111)")

    with pytest.raises(CheckpointError, match="the Hub could not be reached"):
        retry.request(fail, "org/name")


def test_an_untrusted_certificate_that_hf_xet_meets_is_reported_likewise() -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise RuntimeError("Task error: error sending request: invalid peer certificate: UnknownIssuer")

    with pytest.raises(CheckpointError, match="for org/name is not trusted: UnknownIssuer"):
        retry.request(fail, "org/name")
    assert len(calls) == 1
