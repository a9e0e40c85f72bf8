"""Our section of a model card."""

from __future__ import annotations

from string import whitespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.core.records import FileRecord
from converter.publish.card import BEGIN, END, metadata, section, table, updated
from converter.publish.front_matter import BrokenError
from tests.support.samples import artifact_record

SECTION = f"{BEGIN}\nours\n{END}"


def test_a_new_card_has_a_title_the_metadata_and_our_section() -> None:
    card = updated(None, "name-ONNX", SECTION, {"library_name": "transformers.js"}, ["onnx"])
    assert card == f"---\nlibrary_name: transformers.js\ntags:\n- onnx\n---\n# name-ONNX\n\n{SECTION}\n"


@pytest.mark.parametrize("text", ["# A\n", "# A", "# A\n\n", "# A\n\nwords\n\n\n"])
def test_our_section_comes_behind_what_is_there_and_is_replaced_where_it_stands(text: str) -> None:
    first = updated(text, "t", SECTION, {}, [])
    assert first.startswith(text) and first.endswith(f"\n\n{SECTION}\n")
    moved = f"{first}\nmore words\n"
    newer = SECTION.replace("ours", "newer")
    assert updated(moved, "t", newer, {}, []) == moved.replace("ours", "newer")
    assert updated(first, "t", SECTION, {}, []) == first


@pytest.mark.parametrize("text", [f"{BEGIN}\n", f"{END}\n", f"{END}\n{BEGIN}\n", f"{SECTION}\n{SECTION}\n", f"{BEGIN}\n{SECTION}\n"])
def test_marks_that_are_not_one_pair_are_told_and_nothing_is_touched(text: str) -> None:
    with pytest.raises(BrokenError, match="not one pair"):
        updated(text, "t", SECTION, {}, [])


@given(st.text(), st.text())
def test_what_is_before_and_behind_our_section_stays(before: str, behind: str) -> None:
    before = before if not before.lstrip("\ufeff" + whitespace).startswith("---") else f"# {before}"
    text = f"{before}{BEGIN}old{END}{behind}"
    if not before.strip() and not text.strip():
        return
    newer = updated(text, "t", SECTION, {}, [])
    assert newer.startswith(before) and newer.endswith(behind)


def test_the_table_tells_what_was_converted_from_where_and_what_it_was_measured_at() -> None:
    (row,) = list(table([artifact_record()]))[2:]
    for text in ("`onnx/model.onnx`", "default", "0123456789", "0 B", "1.0e-07 (atol 1e-05)", "converter 1"):
        assert text in row


def test_an_artifact_of_two_files_is_loaded_by_a_session_for_each() -> None:
    files = tuple(
        FileRecord(path=name, sha256="0" * 64, size=1, mtime_ns=0) for name in ("encoder_model.onnx", "decoder_model_merged.onnx")
    )
    text = section("org/name", [artifact_record().model_copy(update={"files": files})])
    assert "To load `onnx/decoder_model_merged.onnx`:" in text
    assert 'encoder = onnxruntime.InferenceSession(f"{folder}/onnx/encoder_model.onnx")' in text
    assert 'decoder = onnxruntime.InferenceSession(f"{folder}/onnx/decoder_model_merged.onnx")' in text
    assert "FILE" not in text


def test_an_artifact_of_one_file_is_loaded_by_one_session() -> None:
    text = section("org/name", [artifact_record()])
    assert 'session = onnxruntime.InferenceSession(f"{folder}/onnx/model.onnx")' in text


def test_a_name_cannot_end_our_section_or_its_table() -> None:
    record = artifact_record()
    spoilt = f"x | y\n{END}`z`"
    source = record.source.model_copy(update={"model": spoilt, "repository": spoilt})
    text = section("org/name", [record.model_copy(update={"source": source, "options": {"feature": spoilt}})])
    assert text.count(END) == 1 and text.endswith(END)
    assert "x \\| y" in text


def test_a_checkpoints_own_repository_is_of_transformers_and_one_of_artifacts_names_its_base() -> None:
    record = artifact_record()
    source = record.source.model_copy(update={"repository": "org/name"})
    ours = record.model_copy(update={"source": source})
    assert metadata([ours], {"license": "mit"}, own_repository=False) == {"library_name": "transformers"}
    assert metadata([ours], {"license": "mit", "tags": ["x"]}, own_repository=True) == {
        "library_name": "transformers.js",
        "base_model": "org/name",
        "license": "mit",
    }
    assert "base_model" not in metadata([record], {}, own_repository=True)
