"""Processes for archives, forked from one with torch imported: the import costs a fresh process 1.5 CPU seconds.

They run the runner's `main`, and cannot import transformers or this package either. The tests of the processes themselves
(`tests/integration/test_torchscript_session.py`) start fresh ones too.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

import pytest

from converter.backends.traced import runner, session

_SERVER = Path(__file__).with_name("archive_server.py")
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of <sys/prctl.h>: orphans below become children


@pytest.fixture(autouse=True)
def forked_archives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the process of each archive, in the modules that import this."""
    monkeypatch.setattr(session, "start_runner", ForkedProcess)


class ForkedProcess:
    """The part of `subprocess.Popen` that a session uses."""

    def __init__(self, arguments: Sequence[str], stderr: IO[bytes]) -> None:
        (theirs_in, ours_in), (ours_out, theirs_out) = os.pipe(), os.pipe()
        self.returncode: int | None = None
        self.stdin, self.stdout = os.fdopen(ours_in, "wb"), os.fdopen(ours_out, "rb")
        request = {"arguments": [runner.__file__, *arguments], "environment": dict(os.environ), "folder": str(Path.cwd())}
        control = _server(os.getpid())
        with _subreaper():
            socket.send_fds(control, [json.dumps(request).encode()], [theirs_in, theirs_out, stderr.fileno()])
            self.pid = int(control.recv(100))
            assert control.recv(100) == b"done"
        os.close(theirs_in)
        os.close(theirs_out)

    def poll(self) -> int | None:
        if self.returncode is None:
            self._reap(os.WNOHANG)
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self._reap(0)
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def communicate(self) -> None:
        with suppress(BrokenPipeError):
            self.stdin.close()
        self.stdout.close()
        self.wait()

    def _reap(self, options: int) -> None:
        number, status = os.waitpid(self.pid, options)
        if number:
            self.returncode = os.waitstatus_to_exitcode(status)


@contextmanager
def _subreaper() -> Iterator[None]:
    library = ctypes.CDLL(None)
    assert library.prctl(_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        library.prctl(_SUBREAPER, 0, 0, 0, 0)


@cache
def _server(process: int) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with theirs:
        server = subprocess.Popen([sys.executable, "-P", str(_SERVER), runner.__file__], stdin=theirs, env=environment)

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours
