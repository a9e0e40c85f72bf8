"""A rejected artifact is kept aside, and replaces no file of a user."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from converter.artifacts.rejection import VERDICT, keep_rejected
from converter.artifacts.staging import staging_folder
from converter.core.errors import OutputError
from converter.core.records import Verdict
from tests.support.artifact_folders import contents
from tests.support.foreign import FOREIGN, put_foreign, state

VERDICT_OF_IT = Verdict(atol=1e-5, rtol=0, runtime="onnxruntime 1.30", problems=("its outputs have NaN or infinity",))


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
