"""models.txt: how lines become words, settings and problems."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.core.records import Entry
from converter.manifest.text import read_text
from converter.manifest.tokens import Problem

Entries = Callable[..., tuple[Entry, ...]]
Problems = Callable[..., list[tuple[int, int, str]]]


def test_a_line_is_a_model_and_its_settings(entries_of: Entries) -> None:
    (entry,) = entries_of("org/name@v1  to=onnx feature=masked-lm\tatol=1e-4\n")
    assert (entry.source.name, entry.source.revision) == ("org/name", "v1")
    assert entry.backends["onnx"].model_dump(include={"feature", "atol"}) == {"feature": "masked-lm", "atol": 1e-4}
    assert entry.output == "org/name"


def test_comments_and_empty_lines_are_no_entries(entries_of: Entries) -> None:
    entries = entries_of("# the first\n\n   \norg/a # to=nothing\n\t# org/c\norg/b\n")
    assert [(entry.source.name, entry.position.line) for entry in entries] == [("org/a", 4), ("org/b", 6)]


def test_a_hash_inside_a_word_or_in_quotes_begins_no_comment(entries_of: Entries) -> None:
    entries = entries_of('./a#1\n"#b"/c output="#d"\n'.replace('"#b"/c', '"./#b"'))
    assert [entry.source.name for entry in entries] == ["./a#1", "./#b"]
    assert entries[1].output == "#d"


def test_quotes_keep_spaces_together(entries_of: Entries) -> None:
    (entry,) = entries_of('"./my model" output="my "artifacts\n')
    assert (entry.source.name, entry.output) == ("./my model", "my artifacts")


def test_a_quotation_mark_that_is_not_closed_is_told_where_its_word_begins(problems_of: Problems) -> None:
    assert problems_of('org/a output="x\norg/b "\n') == [
        (1, 7, "a quotation mark is opened and not closed"),
        (2, 7, "a quotation mark is opened and not closed"),
    ]


def test_columns_count_from_one_and_point_at_the_word(problems_of: Problems) -> None:
    assert [(line, column) for line, column, _ in problems_of("  org/a   atol=x opset=y\n")] == [(1, 11), (1, 18)]


def test_a_word_that_is_no_setting_is_told(problems_of: Problems) -> None:
    assert problems_of("org/a masked-lm\n") == [(1, 7, "'masked-lm' is not of the form key=value")]


def test_a_key_twice_is_told_at_the_second(problems_of: Problems) -> None:
    assert problems_of("org/a atol=1 feature=default atol=2\n") == [(1, 30, "'atol' is set twice")]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_of_another_system_reads_the_same(entries_of: Entries, end: str) -> None:
    entries = entries_of(b"\xef\xbb\xbf" + f"org/a output=x{end}{end}org/b{end}".encode())
    assert [(entry.source.name, entry.output, entry.position.line) for entry in entries] == [("org/a", "x", 1), ("org/b", "org/b", 3)]


_WORDS = st.text(st.characters(codec="utf-8", exclude_characters='"', exclude_categories=["Cs"]), min_size=1)
_KEYS = st.from_regex(r"[a-z]+", fullmatch=True)


@given(_WORDS, st.dictionaries(_KEYS, _WORDS), st.sampled_from([" ", "\t", "   "]))
def test_what_is_quoted_comes_back_as_it_was(model: str, settings: dict[str, str], space: str) -> None:
    quoted = [f'"{word}"' for word in (model, *(f"{key}={value}" for key, value in settings.items()))]
    line = space.join(quoted)
    problems: list[Problem] = []
    entries = list(read_text("models.txt", line, problems))
    if "\n" in line:  # a line is a line, quoted or not
        assert problems
        return
    assert not problems
    assert [(entry.model.text, {key: token.text for key, token in entry.settings.items()}) for entry in entries] == [(model, settings)]


def test_an_entry_knows_the_manifest_it_stands_in(manifest: Callable[..., Path], entries_of: Entries) -> None:
    (entry,) = entries_of("org/a\n")
    assert entry.position.file == str(manifest("org/a\n"))
