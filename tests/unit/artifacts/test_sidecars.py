"""Sidecars are the checkpoint's, and the generated ones go with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter.artifacts.sidecars import copy_sidecars
from converter.core.errors import OutputError
from tests.support.artifact_folders import contents


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
