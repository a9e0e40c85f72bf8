"""The texts that variants are measured with."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.core.errors import NotSupportedError
from converter.validation.accuracy.texts import FEWEST, SHIPPED, origin, texts_for


def saved(folder: Path, texts: list[str]) -> str:
    (folder / "ours.txt").write_text("\n".join(texts), encoding="utf-8")
    return str(folder / "ours.txt")


def test_the_shipped_sentences_are_many_and_plain_and_each_is_there_once() -> None:
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(set(lines)) == 640
    assert all(line.isascii() and 6 <= len(line.split()) <= 28 for line in lines)
    texts = texts_for(None)
    assert [len(part) for part in (texts.calibration, texts.choice, texts.final)] == [80, 240, 320]


@given(texts=st.lists(st.text(st.characters(categories=["L", "N", "P"]), min_size=1), min_size=FEWEST, max_size=200, unique=True))
@pytest.mark.slow
def test_no_text_calibrates_or_chooses_that_is_measured_with_and_none_is_lost(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    result = texts_for(saved(tmp_path_factory.mktemp("texts"), texts))
    parts = [set(result.calibration), set(result.choice), set(result.final)]
    assert set.union(*parts) == set(texts)
    assert sum(map(len, parts)) == len(texts)
    assert len(result.final) >= FEWEST // 2


def test_lines_that_are_empty_or_there_twice_count_once_or_not_at_all(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(FEWEST)]
    once, again = texts_for(saved(tmp_path, texts)), texts_for(saved(tmp_path, [*texts, "", "  ", *texts]))
    assert (again.calibration, again.choice, again.final) == (once.calibration, once.choice, once.final)
    with pytest.raises(NotSupportedError, match=f"has {FEWEST - 1} different texts, and {FEWEST} are needed"):
        texts_for(saved(tmp_path, [*texts[1:], *texts[1:], ""]))


@pytest.mark.parametrize("content", [None, b"", b"one\n", b"\xff\xfe" * 100])
def test_what_is_no_file_of_enough_texts_is_told_in_a_sentence(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "ours.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NotSupportedError, match=str(path)) as raised:
        texts_for(str(path))
    assert "a text on each line" in raised.value.hint


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotSupportedError, match="cannot be read"):
        texts_for(str(tmp_path))


def test_texts_of_ones_own_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(FEWEST)]
    first, again, other = (origin(saved(tmp_path, lines)) for lines in (texts, texts, [*texts, "more"]))
    assert first == again != other
    assert origin(None) == {}
