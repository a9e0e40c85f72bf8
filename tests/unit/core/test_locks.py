"""One process at a time at one place."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NoReturn

import pytest

from converter.core.files import write_whole
from converter.core.locks import file_lock, is_locked
from tests.support.processes import hold


def refuse() -> NoReturn:
    raise BlockingIOError("somebody is there")


def test_what_another_process_holds_is_not_given(tmp_path: Path) -> None:
    process = hold(tmp_path / "deep" / "place")
    with pytest.raises(BlockingIOError, match="somebody is there"), file_lock(tmp_path / "deep" / "place", refuse):
        pass
    process.communicate("")
    with file_lock(tmp_path / "deep" / "place", refuse):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "deep"]
    assert list((tmp_path / "deep").iterdir()) == []


def test_whether_a_place_is_locked_is_seen_without_a_trace(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "deep" / "place")
    process = hold(tmp_path / "deep" / "place")
    assert is_locked(tmp_path / "deep" / "place")
    process.kill()
    process.communicate()
    assert not is_locked(tmp_path / "deep" / "place")  # though the file is there
    assert [path.name for path in (tmp_path / "deep").iterdir()] == [".converter-place.lock"]


def test_what_a_killed_process_held_is_given_at_once_and_its_lock_goes(tmp_path: Path) -> None:
    process = hold(tmp_path / "place")
    process.kill()
    process.communicate()
    assert [path.name for path in tmp_path.iterdir()] == [".converter-place.lock"]
    with file_lock(tmp_path / "place", refuse):
        pass
    assert list(tmp_path.iterdir()) == []


def test_of_many_who_want_one_place_each_has_it_alone(tmp_path: Path) -> None:
    inside = 0
    most = []

    def take() -> None:
        nonlocal inside
        for _ in range(10):
            with file_lock(tmp_path / "gone" / "place"):
                inside += 1
                most.append(inside)
                inside -= 1
            try:
                (tmp_path / "gone").rmdir()  # a process that makes nothing cleans up nothing
            except OSError:
                continue

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1] * 40


def test_a_file_that_is_written_by_many_is_whole_and_one_of_theirs(tmp_path: Path) -> None:
    texts = [bytes([65 + number]) * 200_000 for number in range(6)]
    threads = [threading.Thread(target=write_whole, args=(tmp_path / "file", text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (tmp_path / "file").read_bytes() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
