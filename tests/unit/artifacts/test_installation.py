"""An artifact appears whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from converter.artifacts.installation import install
from converter.artifacts.integrity import describe_files
from converter.artifacts.record_file import RECORD, read_record
from converter.artifacts.staging import staging_folder
from converter.core.errors import OutputError
from tests.support.artifact_folders import contents, put
from tests.support.samples import artifact_record


def key_of(folder: Path) -> str | None:
    record = read_record(folder)
    return record.key if record else None


def test_an_artifact_comes_with_its_record_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    put(tmp_path / "deep" / "onnx", "one", model__onnx="new")
    assert contents(tmp_path) == {"deep/onnx/model.onnx": "new"}
    assert key_of(tmp_path / "deep" / "onnx") == "one"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["onnx"]


def test_a_published_artifact_can_be_read_by_others(tmp_path: Path) -> None:
    put(tmp_path / "onnx", "one", model__onnx="new")
    assert (tmp_path / "onnx").stat().st_mode & 0o055 == 0o055


def test_a_newer_artifact_takes_the_place_of_every_file_of_the_older(tmp_path: Path) -> None:
    put(tmp_path / "onnx", "one", model__onnx="old", model__onnx_data="old")
    put(tmp_path / "onnx", "two", model__onnx="new")
    assert contents(tmp_path) == {"onnx/model.onnx": "new"}
    assert key_of(tmp_path / "onnx") == "two"


def test_a_users_files_stay_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "onnx" / "notes").mkdir(parents=True)
    (tmp_path / "onnx" / "notes" / "mine.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "onnx" / "model.onnx").write_text("from elsewhere", encoding="utf-8")
    put(tmp_path / "onnx", "one", model__onnx="new")
    put(tmp_path / "onnx", "two", model__onnx="newer")
    assert contents(tmp_path) == {"onnx/model.onnx": "newer", "onnx/notes/mine.txt": "mine"}


def test_an_artifact_goes_into_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "onnx").symlink_to("disk")
    put(tmp_path / "onnx", "one", model__onnx="new")
    assert contents(tmp_path / "disk") == {"model.onnx": "new"}
    assert (tmp_path / "onnx").is_symlink()


@pytest.mark.parametrize("failing", ["model.onnx", "model.onnx_data", RECORD])
def test_no_record_stands_beside_files_that_are_not_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    put(tmp_path / "onnx", "one", model__onnx="old", model__onnx_data="old")
    (tmp_path / "onnx" / "mine.txt").write_text("mine", encoding="utf-8")
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if self.name == failing:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        put(tmp_path / "onnx", "two", model__onnx="new", model__onnx_data="new")
    assert not (tmp_path / "onnx" / RECORD).exists()
    monkeypatch.undo()
    put(tmp_path / "onnx", "two", model__onnx="new", model__onnx_data="new")
    assert contents(tmp_path) == {"onnx/mine.txt": "mine", "onnx/model.onnx": "new", "onnx/model.onnx_data": "new"}
    assert key_of(tmp_path / "onnx") == "two"


def test_an_older_artifact_stays_whole_until_the_newer_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []
    put(tmp_path / "onnx", "one", model__onnx="old", model__onnx_data="old")
    rename = Path.rename

    def look(self: Path, target: Path) -> Path:
        seen.append(contents(tmp_path / "onnx"))
        renamed = rename(self, target)
        seen.append(contents(tmp_path / "onnx"))
        return renamed

    monkeypatch.setattr(Path, "rename", look)
    put(tmp_path / "onnx", "two", model__onnx="new", model__onnx_data="new")
    old, new = ({"model.onnx": text, "model.onnx_data": text} for text in ("old", "new"))
    assert seen == [old, {}, {}, new]


def test_an_older_artifact_comes_back_where_the_newer_cannot_take_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "onnx", "one", model__onnx="old")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name == "artifact":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match="Input/output error"), staging_folder(tmp_path / "onnx") as staged:
        (staged / "artifact").write_text("new", encoding="utf-8")
        install(staged, artifact_record(*describe_files(staged), key="two"), tmp_path / "onnx")
    assert not (tmp_path / "onnx" / RECORD).exists()  # file by file it could not be put there either


def test_all_of_an_artifact_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note_sync(descriptor: int) -> None:
        happened.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def note_rename(self: Path, target: Path) -> Path:
        happened.append("renamed")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "rename", note_rename)
    put(tmp_path / "model" / "onnx", "one", model__onnx="graph", model__onnx_data="weights")
    before, after = happened[: happened.index("renamed")], happened[happened.index("renamed") + 1 :]
    assert set(before) == {"model.onnx", "model.onnx_data", RECORD, "artifact"}
    assert after == ["model"]


@pytest.mark.parametrize(("number", "is_published"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_file_system_that_cannot_be_asked_to_write_through_is_let_be_and_one_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_published: bool
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    if is_published:
        put(tmp_path / "onnx", "one", model__onnx="new")
    else:
        with pytest.raises(OutputError, match="Input/output error"):
            put(tmp_path / "onnx", "one", model__onnx="new")
    assert (tmp_path / "onnx").exists() == is_published


def test_a_record_made_by_somebody_else_deletes_nothing_elsewhere(tmp_path: Path) -> None:
    put(tmp_path / "onnx", "one", model__onnx="old")
    (tmp_path / "victim").write_text("mine", encoding="utf-8")
    record = tmp_path / "onnx" / RECORD
    record.write_text(record.read_text(encoding="utf-8").replace('"model.onnx"', '"../victim"'), encoding="utf-8")
    put(tmp_path / "onnx", "two", model__onnx="new")
    assert contents(tmp_path) == {"onnx/model.onnx": "new", "victim": "mine"}


def test_a_file_where_a_folder_is_needed_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for destination in (tmp_path / "file", tmp_path / "file" / "onnx"):
        with pytest.raises(OutputError, match="a file is in the place of a folder"):
            put(destination, "one", model__onnx="new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("kind", ["link", "empty folder"])
def test_a_users_link_or_empty_folder_in_the_place_of_an_artifact_stays(kind: str, tmp_path: Path) -> None:
    put(tmp_path / "onnx", "one", model__onnx="old")
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "onnx" / "mine").symlink_to("../elsewhere")
    else:
        (tmp_path / "onnx" / "mine").mkdir()
    put(tmp_path / "onnx", "two", model__onnx="new")
    assert contents(tmp_path) == {"onnx/model.onnx": "new"}
    assert (tmp_path / "onnx" / "mine").is_dir() and (tmp_path / "onnx" / "mine").is_symlink() == (kind == "link")


def test_a_users_output_that_goes_into_the_artifacts_folder_stays(tmp_path: Path) -> None:
    put(tmp_path / "onnx", "one", model__onnx="old")
    (tmp_path / "onnx" / "converter.log").write_text("what a shell has redirected", encoding="utf-8")
    put(tmp_path / "onnx", "two", model__onnx="new", converter__log="ours")
    assert contents(tmp_path) == {"onnx/model.onnx": "new", "onnx/converter.log": "what a shell has redirected"}
