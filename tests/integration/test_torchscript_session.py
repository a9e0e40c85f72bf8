"""The process that runs an archive: its imports, its end, and the error if it ends too early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from converter.backends.traced import runner
from converter.backends.traced.session import ArchiveSession
from converter.core.errors import ConversionError
from converter.core.records import Outcome
from tests.support.archive_processes import ForkedProcess

_ASK = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
for name in ("transformers", "converter"):
    try:
        __import__(name)
    except ImportError:
        print(f"no {name}", file=sys.stderr)
print([name for name, module in sys.modules.items() if module and name.partition(".")[0] in ("transformers", "converter")], file=sys.stderr)
"""


@pytest.fixture(autouse=True)
def forked_archives() -> None:
    """Nothing here: the processes are fresh, like a user's."""


@pytest.fixture(scope="module")
def archive(trace: Callable[[str, str], Outcome]) -> Path:
    outcome = trace("bert", "default")
    assert outcome.status == "converted", outcome.failure
    return Path(outcome.destination) / "model.pt"


@pytest.fixture(params=["fresh", "forked"])
def session(archive: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveSession]:
    """A fresh process, like a user's, and a forked one, like the other tests'."""
    if request.param == "forked":
        monkeypatch.setattr("converter.backends.traced.session.start_runner", ForkedProcess)
    opened = ArchiveSession(archive, "TorchScript", "torch")
    yield opened
    opened.close()


TEXTS = {name: np.ones((2, 5), np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}


def test_neither_transformers_nor_this_package_can_be_imported_where_an_archive_runs(archive: Path) -> None:
    """The runner is given no request, so that its process can be asked afterwards."""
    command = [sys.executable, "-P", "-c", _ASK, runner.__file__, str(archive), "1"]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert b"last_hidden_state" in result.stdout
    assert result.stderr.decode().splitlines() == ["no transformers", "no converter", "[]"]


def test_the_process_ends_with_its_session(archive: Path) -> None:
    opened = ArchiveSession(archive, "TorchScript", "torch")
    process = opened._process
    assert opened.run(TEXTS)["last_hidden_state"].shape == (2, 5, 32)
    opened.close()
    assert process.poll() is not None


def test_the_process_ends_where_nobody_asks_any_more(archive: Path) -> None:
    """As after the death of the process that started it."""
    opened = ArchiveSession(archive, "TorchScript", "torch")
    assert opened._process.stdin
    opened._process.stdin.close()
    assert opened._process.wait(30) == 0
    assert opened._process.stdout
    opened._process.stdout.close()
    opened._said.close()


def test_a_crash_is_told_and_ends_nothing_else(session: ArchiveSession) -> None:
    os.kill(session._process.pid, signal.SIGSEGV)
    session._process.wait()
    with pytest.raises(ConversionError, match=r"the process that runs .*model\.pt has ended \(SIGSEGV\)"):
        session.run(TEXTS)
    with pytest.raises(ConversionError, match="has ended"):
        list(session.weights())


def test_an_error_inside_the_archive_is_told_and_the_next_call_is_answered(session: ArchiveSession) -> None:
    with pytest.raises(ConversionError, match="TorchScript does not run it: RuntimeError: index out of range in self"):
        session.run({**TEXTS, "input_ids": TEXTS["input_ids"] * 1000})
    with pytest.raises(ConversionError, match="there is no token_type_ids"):
        session.run({name: TEXTS[name] for name in ("input_ids", "attention_mask")})
    assert session.run(TEXTS)["last_hidden_state"].dtype == np.float32


def test_weights_come_by_the_names_that_the_checkpoint_has(session: ArchiveSession) -> None:
    weights = {stored.name: stored for stored in session.weights()}
    assert weights["embeddings.word_embeddings.weight"].array.shape == (120, 32)
    assert "pooler.dense.weight" not in weights  # nothing uses it
    assert not any(name.startswith("model.") for name in weights)
