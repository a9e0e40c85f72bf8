"""A staging folder goes with its work, and one process has it at a time."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import pytest

from converter.artifacts import staging
from converter.artifacts.staging import staging_folder, sweep
from converter.core import interruptions, locks
from converter.core.errors import OutputError
from tests.support.artifact_folders import contents, put
from tests.support.foreign import FOREIGN, put_foreign, state
from tests.support.interrupting import heeded, interrupt_everywhere  # noqa: F401 - a fixture
from tests.support.processes import hold


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_where_the_work_fails(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), staging_folder(tmp_path / "onnx") as staged:
        (staged / "model.onnx").write_bytes(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_the_folders_made_for_the_work_go_with_it_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="no"), staging_folder(tmp_path / "mine" / "org" / "name" / "onnx"):
        raise ValueError("no")
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


def test_what_a_killed_process_left_is_swept_away_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / ".converter-onnx-0123abcd" / "artifact"
    left.mkdir(parents=True)
    (left / "model.onnx").write_text("half", encoding="utf-8")
    (tmp_path / ".converter-onnx.lock").touch()
    with staging_folder(tmp_path / "onnx") as staged:
        assert list(staged.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_is_swept_after_and_one_that_lives_is_not(tmp_path: Path) -> None:
    with staging_folder(tmp_path / "out" / "onnx") as staged:
        sweep(tmp_path / "out" / "onnx")
        assert staged.exists()
    (tmp_path / "out" / ".converter-onnx-0123abcd" / "artifact").mkdir(parents=True)
    sweep(tmp_path / "out" / "onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_process_that_was_killed_before_it_staged_is_swept(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".converter-onnx.lock").touch()
    sweep(tmp_path / "out" / "onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("heeded")
def test_an_interruption_at_any_place_leaves_nothing(tmp_path: Path) -> None:
    def work() -> None:
        with staging_folder(tmp_path / "new" / "onnx") as staged:
            (staged / "model.onnx").write_bytes(b"half")

    files = (staging.__file__, locks.__file__, interruptions.__file__)

    def left() -> list[str]:
        names = sorted(path.name for path in tmp_path.rglob("*"))
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        return names

    places = interrupt_everywhere(work, files, left)
    assert {place: names for place, names in places.items() if names} == {}
    assert len(places) > 100


def test_a_job_that_is_ending_is_waited_for_and_swept_after(tmp_path: Path) -> None:
    process = hold(tmp_path / "out" / "onnx")
    (tmp_path / "out" / ".converter-onnx-0123abcd" / "artifact").mkdir(parents=True)
    sweep(tmp_path / "out" / "onnx", time.monotonic() + 0.3)
    assert (tmp_path / "out" / ".converter-onnx.lock").exists()  # it has not ended in this time
    killer = threading.Timer(0.3, process.kill)
    killer.start()
    sweep(tmp_path / "out" / "onnx", time.monotonic() + 60)
    process.communicate()
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_write_one_artifact_the_second_waits_and_is_told_so(tmp_path: Path) -> None:
    signal = threading.Event()
    order: list[str] = []

    def second() -> None:
        with staging_folder(tmp_path / "onnx", signal.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with staging_folder(tmp_path / "onnx"):
        thread.start()
        assert signal.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("name", [".converter-onnx", ".converter-onnx-0123abcd"])
def test_nothing_that_a_user_has_by_a_name_of_ours_is_touched(name: str, kind: str, tmp_path: Path) -> None:
    put_foreign(tmp_path / name, kind)
    before = state(tmp_path)
    sweep(tmp_path / "onnx")
    put(tmp_path / "onnx", "one", model__onnx="new")
    assert contents(tmp_path / "onnx") == {"model.onnx": "new"}
    shutil.rmtree(tmp_path / "onnx")
    assert state(tmp_path) == before


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_a_user_has_by_the_name_of_a_lock_stays(kind: str, tmp_path: Path) -> None:
    put_foreign(tmp_path / ".converter-onnx.lock", kind)
    before = state(tmp_path)
    sweep(tmp_path / "onnx")
    assert state(tmp_path) == before
    if kind == "file":
        put(tmp_path / "onnx", "one", model__onnx="new")
        shutil.rmtree(tmp_path / "onnx")
    else:
        with pytest.raises(OutputError, match=r"cannot write to .*onnx: .*/\.converter-onnx\.lock is in the way; move it elsewhere"):
            put(tmp_path / "onnx", "one", model__onnx="new")
    assert state(tmp_path) == before
