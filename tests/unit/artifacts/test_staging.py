"""An artifact appears whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest

from converter.artifacts.staging import VERDICT, copy_sidecars, hand_over, install, keep_rejected, staging_folder, sweep
from converter.artifacts.store import RECORD, describe_files, read_record
from converter.core.errors import OutputError
from converter.core.files import write_whole
from converter.core.records import Verdict
from tests.support.foreign import FOREIGN, put_foreign, state
from tests.support.samples import artifact_record

VERDICT_OF_IT = Verdict(atol=1e-5, rtol=0, runtime="onnxruntime 1.30", problems=("gives what is no number",))


def put(destination: Path, key: str, **files: str) -> None:
    """Stage `files` (their names with __ for a dot) and publish them."""
    with staging_folder(destination) as staged:
        for name, text in files.items():
            (staged / name.replace("__", ".")).write_text(text, encoding="utf-8")
        install(staged, artifact_record(*describe_files(staged), key=key), destination)


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder but the record, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != RECORD
    }


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
        with pytest.raises(OutputError, match="a file stands where a folder is needed"):
            put(destination, "one", model__onnx="new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_rejected_artifact_is_kept_aside_and_takes_the_place_of_the_last(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with staging_folder(tmp_path / "onnx") as staged:
            (staged / f"{text}.onnx").write_text(text, encoding="utf-8")
            kept = keep_rejected(staged, VERDICT_OF_IT, tmp_path / "onnx")
    assert kept == tmp_path / ".rejected" / "onnx"
    assert Verdict.model_validate_json((kept / VERDICT).read_bytes()) == VERDICT_OF_IT
    (kept / VERDICT).unlink()
    assert contents(tmp_path) == {".rejected/onnx/second.onnx": "second"}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_rejected_artifact_takes_the_place_of_nothing_that_a_user_has_put_there(kind: str, tmp_path: Path) -> None:
    put_foreign(tmp_path / ".rejected" / "onnx", kind)
    before = state(tmp_path)
    with staging_folder(tmp_path / "onnx") as staged:
        kept = keep_rejected(staged, VERDICT_OF_IT, tmp_path / "onnx")
    assert kept == tmp_path / ".rejected" / "onnx-2"
    shutil.rmtree(kept)
    assert state(tmp_path) == before


def test_nothing_rejected_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".rejected").symlink_to("elsewhere")
    with pytest.raises(OutputError, match="is a link"), staging_folder(tmp_path / "onnx") as staged:
        keep_rejected(staged, VERDICT_OF_IT, tmp_path / "onnx")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_sidecars_come_as_they_are_with_their_folders(tmp_path: Path) -> None:
    (tmp_path / "from" / "1_Pooling").mkdir(parents=True)
    for name in ("config.json", "1_Pooling/config.json", "other.txt"):
        (tmp_path / "from" / name).write_text(name, encoding="utf-8")
    copy_sidecars(tmp_path / "from", iter(["config.json", "1_Pooling/config.json"]), tmp_path / "to", {})
    assert contents(tmp_path / "to") == {"config.json": "config.json", "1_Pooling/config.json": "1_Pooling/config.json"}


def test_what_was_made_goes_with_the_sidecars_unless_the_checkpoint_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "vocab.txt").write_text("theirs", encoding="utf-8")
    kept = copy_sidecars(tmp_path / "from", ["vocab.txt"], tmp_path / "to", {"vocab.txt": b"ours", "genai_config.json": b"made"})
    assert contents(tmp_path / "to") == {"vocab.txt": "theirs", "genai_config.json": "made"}
    assert sorted(file.path for file in kept) == ["genai_config.json", "vocab.txt"]


def test_a_config_that_was_made_is_the_one_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "config.json").write_text('{"a": 1}', encoding="utf-8")
    (kept,) = copy_sidecars(tmp_path / "from", ["config.json"], tmp_path / "to", {"config.json": b'{"a": 1, "b": 2}'})
    assert contents(tmp_path / "to") == {"config.json": '{"a": 1, "b": 2}'}
    assert kept.size == 16


@pytest.mark.parametrize(
    ("there", "stays"),
    [
        ('{"a": 1, "transformers.js_config": {}}', True),
        ('{"a": 2, "transformers.js_config": {}}', False),  # it is another checkpoint's
        ('{"a": 1, "b": 2}', False),
        ("[]", False),
        ("no JSON", False),
    ],
)
def test_what_another_artifact_says_to_its_clients_in_the_same_config_stays(there: str, stays: bool, tmp_path: Path) -> None:
    for name, text in (("from", '{"a": 1}'), ("to", there)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text, encoding="utf-8")
    copy_sidecars(tmp_path / "from", ["config.json"], tmp_path / "to", {})
    assert contents(tmp_path / "to") == {"config.json": there if stays else '{"a": 1}'}


def test_a_sidecar_that_cannot_be_copied_whole_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(target: Path, _: bytes) -> None:
        with open(target, "w", encoding="utf-8") as file:
            file.write("ha")
        raise OSError(28, "No space left on device")

    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "config.json").write_text("old", encoding="utf-8")
    (tmp_path / "config.json").write_text("new", encoding="utf-8")
    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OutputError, match=r"cannot write to .*config\.json: the disk is full"):
        copy_sidecars(tmp_path, iter(["config.json"]), tmp_path / "to", {})
    assert contents(tmp_path / "to") == {"config.json": "old"}


def test_a_sidecar_that_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    for name in ("from", "to"):
        (tmp_path / name).mkdir()
    (tmp_path / "from" / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "to" / "config.json").symlink_to("../from/config.json")
    copy_sidecars(tmp_path / "from", ["config.json"], tmp_path / "to", {})
    assert (tmp_path / "to" / "config.json").is_symlink()


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
    if kind == "file":
        put(tmp_path / "onnx", "one", model__onnx="new")
        shutil.rmtree(tmp_path / "onnx")
    else:
        with pytest.raises(OutputError, match=r"cannot write to .*onnx: .*/\.converter-onnx\.lock is in the way; move it elsewhere"):
            put(tmp_path / "onnx", "one", model__onnx="new")
    assert state(tmp_path) == before


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_is_written_whole_beside_whatever_has_the_name_of_a_temporary_one(kind: str, tmp_path: Path) -> None:
    put_foreign(tmp_path / ".converter-report.json", kind)
    before = state(tmp_path)
    write_whole(tmp_path / "report.json", b"{}")
    assert state(tmp_path) == {**before, "report.json": "file {}"}


def test_what_a_killed_process_had_written_of_a_file_goes_with_the_next(tmp_path: Path) -> None:
    (tmp_path / ".converter-report.json-0123abcd").write_bytes(b"{")
    write_whole(tmp_path / "report.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


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
