"""Files that root makes belong to the owner of the working folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from converter.artifacts.ownership import hand_over
from tests.support.artifact_folders import put


def owners(folder: Path) -> set[tuple[int, int]]:
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in (folder, *folder.rglob("*"))}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_in_somebodys_folder_is_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "work" / "build" / "out" / "model" / "onnx", "key", model__onnx="graph")
    (tmp_path / "work" / "build" / "out" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "outside").write_text("not theirs", encoding="utf-8")
    (tmp_path / "elsewhere").write_text("nor this, though it has a name in the folder too", encoding="utf-8")
    (tmp_path / "work" / "build" / "out" / "hard").hardlink_to(tmp_path / "elsewhere")
    (tmp_path / "work" / "others").write_text("of a third", encoding="utf-8")
    os.chown(tmp_path / "work", 1234, 567)
    os.chown(tmp_path / "work" / "others", 99, 99)
    monkeypatch.chdir(tmp_path / "work")
    hand_over(Path("build/out"))
    assert owners(tmp_path / "elsewhere") == {(0, 0)}
    (tmp_path / "work" / "build" / "out" / "hard").unlink()
    assert owners(tmp_path / "work" / "build") == {(1234, 567)}
    assert owners(tmp_path / "work" / "others") == {(99, 99)}
    assert owners(tmp_path / "outside") == {(0, 0)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_lies_outside_of_the_working_folder_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("work", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("", encoding="utf-8")
    os.chown(tmp_path / "work", 1234, 567)
    monkeypatch.chdir(tmp_path / "work")
    hand_over(Path("../elsewhere"))
    assert owners(tmp_path / "work" / "file") == owners(tmp_path / "elsewhere") == {(0, 0)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_where_nothing_was_made_nothing_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(tmp_path, 1234, 567)
    monkeypatch.chdir(tmp_path)
    hand_over(Path("out/deeper"))
    assert not (tmp_path / "out").exists()


def test_in_a_folder_of_ones_own_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "out" / "model" / "onnx", "key", model__onnx="graph")
    monkeypatch.chdir(tmp_path)
    before = owners(tmp_path)
    hand_over(Path("out"))
    assert owners(tmp_path) == before
